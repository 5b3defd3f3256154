"""A live page: the stream in browsers, with its heat drawn there."""
