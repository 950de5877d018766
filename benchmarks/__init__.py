"""Side-by-side runs against what users would pick instead. Each prints ratios; see docs/benchmarks.md."""
