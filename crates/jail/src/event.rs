//! What a jail has to say: lines for the log, with Fail2ban's loggers, levels and words.

/// Fail2ban's levels, with the numbers that `loglevel` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub u8);

impl Level {
    /// 50
    pub const CRITICAL: Level = Level(50);
    /// 40
    pub const ERROR: Level = Level(40);
    /// 30
    pub const WARNING: Level = Level(30);
    /// 25
    pub const NOTICE: Level = Level(25);
    /// 20
    pub const INFO: Level = Level(20);
    /// 18: rotation and the like; hidden at the default level
    pub const MSG: Level = Level(18);
    /// 10
    pub const DEBUG: Level = Level(10);
    /// 9, 8, 7, 6, 5: Fail2ban's finer debugging levels
    pub const TRACEDEBUG: Level = Level(7);
    /// 5
    pub const HEAVYDEBUG: Level = Level(5);
}

/// One line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How important.
    pub level: Level,
    /// Who says it: `filter`, `actions`, … without the prefix `fail2ban.`
    pub logger: &'static str,
    /// What is said. May hold line feeds; they are written as they are, as Fail2ban does.
    pub text: String,
}

impl LogLine {
    /// A line of `logger` at `level`.
    pub fn new(level: Level, logger: &'static str, text: impl Into<String>) -> Self {
        LogLine { level, logger, text: text.into() }
    }
}
