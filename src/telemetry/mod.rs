//! What Burgee tells about itself: metric names and counters, log lines.

pub mod logging;
pub mod metrics;
