"""flagsmith: how often flags were asked for is told to Burgee."""

from client import client, flags_of, heard
from flagsmith import analytics
from scenario import say, told

flagsmith = client(told["local"], enable_analytics=True)
flags = flags_of(flagsmith, {"identifier": "somebody"})
for feature in told["features"]:
    flags.is_feature_enabled(feature)
counted = dict(flagsmith._analytics_processor.analytics_data)
flagsmith._analytics_processor.flush()
# It is told by another thread.
analytics.session.executor.shutdown(wait=True)
say({"counted": counted, "kept": flagsmith._analytics_processor.analytics_data, "heard": heard})
