"""What is asked of a decoder and what comes back: messages, sampling, tools, stop texts. Knows no engine."""
