"""What a user would run instead: the scripts of the libraries' own documentation.

Each stands by itself, as its user would have it, so what is alike in them is not shared.
"""
