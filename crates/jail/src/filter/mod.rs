//! Filters: which lines are failures, and whose.

mod python;
