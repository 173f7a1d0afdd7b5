"""The OpenFeature SDK: flags of all types, in contexts of all kinds."""

from client import seen
from scenario import say

say(seen())
