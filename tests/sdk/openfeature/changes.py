"""The OpenFeature SDK: a change of the rules arrives with the next evaluation."""

from client import seen
from scenario import pause, say

pause(seen())
say(seen())
