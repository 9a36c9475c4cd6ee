//! Points in time, in the shape in which Fail2ban counts with them.

/// Seconds since 1970-01-01 00:00:00 UTC. A float, since Fail2ban's arithmetic (decaying tallies, fractions of
/// journal times, random ban times) is Python's float arithmetic, and verdicts must agree.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Default)]
pub struct Timestamp(pub f64);

impl Timestamp {
    /// The point in time `seconds` later (earlier when negative).
    #[must_use]
    pub fn plus(self, seconds: f64) -> Self {
        Timestamp(self.0 + seconds)
    }

    /// Seconds from `earlier` to this one.
    pub fn since(self, earlier: Timestamp) -> f64 {
        self.0 - earlier.0
    }
}
