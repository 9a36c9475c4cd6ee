//! The words of which random configurations are made.

#[rustfmt::skip]
pub(crate) const JAILS: &[&str] = &[
    "j", "k", "web-1", "Sec", "sec", "ä", "o'k", "a b", "j]x",
];
#[rustfmt::skip]
pub(crate) const NAMES: &[&str] = &[
    "v0", "v1", "v2", "v3", "Own", "port",
];
#[rustfmt::skip]
pub(crate) const JAIL_OPTIONS: &[&str] = &[
    "maxretry", "maxmatches", "findtime", "bantime", "bantime.increment", "bantime.factor",
    "bantime.formula", "bantime.multipliers", "bantime.maxtime", "bantime.rndtime", "bantime.overalljails",
    "ignorecommand", "ignoreself", "ignoreip", "ignorecache", "logtimezone", "logencoding", "logpath",
    "usedns", "prefregex", "ignoreregex", "failregex", "maxlines", "datepattern", "journalmatch", "backend",
    "action", "filter", "enabled", "IgnoreIP", "BANTIME", "mode",
];
#[rustfmt::skip]
pub(crate) const FILTER_OPTIONS: &[&str] = &[
    "usedns", "prefregex", "ignoreregex", "failregex", "failregex", "maxlines", "datepattern",
    "journalmatch", "p", "date", "t0", "t1", "t2", "T3", "re-a", "re-b", "logtype", "before", "bantime",
    "__name__",
];
#[rustfmt::skip]
pub(crate) const ACTION_OPTIONS: &[&str] = &[
    "actionstart", "actionstart_on_demand", "actionstop", "actionflush", "actionreload", "actioncheck",
    "actionrepair", "actionrepair_on_unban", "actionban", "actionban", "actionprolong", "actionreban",
    "actionunban", "norestored", "timeout", "t0", "t1", "t2", "T3", "re-a", "re-b", "chain", "name",
    "actname", "bantime", "matches",
];
#[rustfmt::skip]
pub(crate) const TAGS: &[&str] = &[
    "t0", "t1", "t2", "t3", "T3", "HOST", "ip", "F-USER", "/F-USER", "re-<mode>", "re-<t0>", "known/t0",
    "known/t1", "known/chain", "chain", "Init/t0", "Definition/t1", "DEFAULT/t2", "default/t2", "nope/x",
    "logtype", "name", "actname", "bantime", "matches", "maxretry", "findtime", "logpath", "port",
    "enabled", "backend", "known/failregex", "known/actionban", "lt_file/t0", "norestored", "x y",
    "ipmatches", "failregex", "maxlines", "mode", "usedns", "ignoreip",
];
#[rustfmt::skip]
pub(crate) const REFERENCES: &[&str] = &[
    "v0", "v1", "v2", "v3", "own", "OWN", "__name__", "fail2ban_version", "known/v0", "known/v1",
    "known/ignoreip", "known/failregex", "known/bantime", "known/t0", "default/v0", "default/v1", "sec/v0",
    "j/v1", "j/own", "k/v2", "DEFAULT/v0", "Sec/v0", "known/action", "port",
];
/// References that never lead back to a variable: what trees without mistakes use.
#[rustfmt::skip]
pub(crate) const SAFE_REFERENCES: &[&str] = &[
    "base", "BASE", "__name__", "fail2ban_version", "known/base", "default/base", "sec/base", "base2", "fail2ban_confpath",
];
#[rustfmt::skip]
pub(crate) const LITERALS: &[&str] = &[
    "x", "10m", "5", "-1", "1h 30m", "true", "ON", "yes", "no", "1", "0", "127.0.0.1/8 ::1", "a, b",
    "^fail <HOST>$", "é", "\u{200b}", "😀", "a'b", "a\"b", "it's \"q\"", "a\\nb", "\\s+", "tab\there", "#x",
    "a#b", "a;b", "1_0", " 7", "+3", "0x1", "auto", "warn", "raw", "$(id)", "100%%", "%%", "",
];
#[rustfmt::skip]
pub(crate) const EXPRESSIONS: &[&str] = &[
    "^fail <HOST>$", "bad <ip4>", "<t0> from <HOST>", "^%(v0)s", "a b", "\\d+ \\[", "[;#]", "<re-<mode>>",
    "x{1,2}", "^<F-MLFID>s</F-MLFID>",
];
