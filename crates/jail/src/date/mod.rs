//! Dates in log lines.
