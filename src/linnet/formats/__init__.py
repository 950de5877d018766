"""Files of other people: tables in, model files in and out. Every reader distrusts what it reads."""
