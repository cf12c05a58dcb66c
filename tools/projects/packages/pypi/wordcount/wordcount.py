"""How often each word occurs."""
from collections import Counter


def count(text):
    return Counter(text.lower().split())
