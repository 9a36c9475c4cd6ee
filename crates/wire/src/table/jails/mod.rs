//! Commands of one jail: `set JAIL …`, `get JAIL …`.

mod arguments;

use portcullis_value::{Exception, seconds};

use super::Group::{
    CommandActionConfiguration as CommandConfiguration, CommandActionInformation as CommandInformation,
    GeneralActionConfiguration as ActionConfiguration, GeneralActionInformation as ActionInformation,
    JailConfiguration as Configuration, JailInformation as Information,
};
use super::reply::{DATE_PATTERN, IGNORE_CACHE, JAIL_BANNED, MATCHES, PERHAPS_TEXT, TEXTS};
use super::{At, Entry, Form, Group, Type};
use crate::request::{JailGet, JailSet};
use crate::show::Show;
use crate::words::{address, boolean, sized_address, strict_text};
pub(super) use arguments::flatten;
use arguments::{
    action, action_property, add_action, add_log_path, attempt, ban_list, ban_time_option, idle,
    ignore_cache, log_encoding, max_lines, pattern, prefix, time_zone, unban_ip, use_dns,
};

type Result<T> = std::result::Result<T, Exception>;

const fn form(group: Group, arguments: &'static str, help: &'static str) -> Form {
    Form { group, arguments, help }
}

/// Who is not to be banned.
fn ignored(w: crate::words::Words<'_>) -> Vec<Result<String>> {
    w.from(0).iter().map(sized_address).collect()
}

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        name: "idle",
        at: At::JailSet(|_, w| idle(w)),
        reply: Type::Bool,
        show: Show::Text,
        forms: &[form(Configuration, "on|off", "lets <JAIL> pause, or go on")],
    },
    Entry {
        name: "ignoreself",
        at: At::JailSet(|_, w| Ok(JailSet::IgnoreSelf(boolean(w.at(0)?)))),
        reply: Type::Bool,
        show: Show::Text,
        forms: &[form(Configuration, "true|false", "never bans this machine's own addresses, or does")],
    },
    Entry {
        name: "addignoreip",
        at: At::JailSet(|_, w| Ok(JailSet::AddIgnoreIp(ignored(w)))),
        reply: TEXTS,
        show: Show::IgnoreList,
        forms: &[form(Configuration, "<IP>", "puts <IP> on the list of those that <JAIL> never bans")],
    },
    Entry {
        name: "delignoreip",
        at: At::JailSet(|_, w| Ok(JailSet::DelIgnoreIp(w.text(0)?))),
        reply: TEXTS,
        show: Show::IgnoreList,
        forms: &[form(Configuration, "<IP>", "takes <IP> off the list of those that <JAIL> never bans")],
    },
    Entry {
        name: "ignorecommand",
        at: At::JailSet(|_, w| Ok(JailSet::IgnoreCommand(w.at(0)?.clone()))),
        reply: Type::Any,
        show: Show::Text,
        forms: &[form(Configuration, "<VALUE>", "has the command <VALUE> decide who is not banned")],
    },
    Entry {
        name: "ignorecache",
        at: At::JailSet(|_, w| ignore_cache(w)),
        reply: IGNORE_CACHE,
        show: Show::Text,
        forms: &[form(Configuration, "<VALUE>", "remembers what ignorecommand said, as <VALUE> tells")],
    },
    Entry {
        name: "addlogpath",
        at: At::JailSet(|_, w| add_log_path(w)),
        reply: TEXTS,
        show: Show::FileList,
        forms: &[form(
            Configuration,
            "<FILE> ['tail']",
            "has <JAIL> watch <FILE> too, from its beginning ('head', the default) or from its end ('tail')",
        )],
    },
    Entry {
        name: "dellogpath",
        at: At::JailSet(|_, w| Ok(JailSet::DelLogPath(w.text(0)?))),
        reply: TEXTS,
        show: Show::FileList,
        forms: &[form(Configuration, "<FILE>", "has <JAIL> watch <FILE> no longer")],
    },
    Entry {
        name: "logencoding",
        at: At::JailSet(|_, w| log_encoding(w)),
        reply: Type::Str,
        show: Show::Encoding,
        forms: &[form(Configuration, "<ENCODING>", "reads the log files of <JAIL> as <ENCODING>")],
    },
    Entry {
        name: "addjournalmatch",
        at: At::JailSet(|_, w| Ok(JailSet::AddJournalMatch(w.shown(0)))),
        reply: MATCHES,
        show: Show::JournalMatch,
        forms: &[form(Configuration, "<MATCH>", "has <JAIL> read journal entries that fit <MATCH> too")],
    },
    Entry {
        name: "deljournalmatch",
        at: At::JailSet(|_, w| Ok(JailSet::DelJournalMatch(w.shown(0)))),
        reply: MATCHES,
        show: Show::JournalMatch,
        forms: &[form(Configuration, "<MATCH>", "takes <MATCH> out of what <JAIL> reads of the journal")],
    },
    Entry {
        name: "addfailregex",
        at: At::JailSet(|_, w| Ok(JailSet::AddFailRegex(strict_text(w.at(0)?)))),
        reply: TEXTS,
        show: Show::Regexes,
        forms: &[form(Configuration, "<REGEX>", "counts lines that match <REGEX> as failures in <JAIL>")],
    },
    Entry {
        name: "delfailregex",
        at: At::JailSet(|_, w| Ok(JailSet::DelFailRegex(w.int(0)?))),
        reply: TEXTS,
        show: Show::Regexes,
        forms: &[form(Configuration, "<INDEX>", "drops number <INDEX> of the failregex list")],
    },
    Entry {
        name: "addignoreregex",
        at: At::JailSet(|_, w| Ok(JailSet::AddIgnoreRegex(strict_text(w.at(0)?)))),
        reply: TEXTS,
        show: Show::Regexes,
        forms: &[form(
            Configuration,
            "<REGEX>",
            "never counts lines that match <REGEX> as failures in <JAIL>",
        )],
    },
    Entry {
        name: "delignoreregex",
        at: At::JailSet(|_, w| Ok(JailSet::DelIgnoreRegex(w.int(0)?))),
        reply: TEXTS,
        show: Show::Regexes,
        forms: &[form(Configuration, "<INDEX>", "drops number <INDEX> of the ignoreregex list")],
    },
    Entry {
        name: "findtime",
        at: At::JailSet(|_, w| Ok(JailSet::FindTime(seconds(w.at(0)?)))),
        reply: Type::Number,
        show: Show::Text,
        forms: &[form(Configuration, "<TIME>", "counts failures in <JAIL> within <TIME> seconds")],
    },
    Entry {
        name: "bantime",
        at: At::JailSet(|_, w| Ok(JailSet::BanTime(seconds(w.at(0)?)))),
        reply: Type::Int,
        show: Show::Text,
        forms: &[form(Configuration, "<TIME>", "bans in <JAIL> for <TIME> seconds; negative means for ever")],
    },
    Entry {
        name: "bantime.",
        at: At::JailSet(ban_time_option),
        reply: Type::Any,
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "datepattern",
        at: At::JailSet(|_, w| Ok(JailSet::DatePattern(pattern(w)?))),
        reply: DATE_PATTERN,
        show: Show::DatePattern,
        forms: &[form(Configuration, "<PATTERN>", "finds the time in the lines of <JAIL> by <PATTERN>")],
    },
    Entry {
        name: "logtimezone",
        at: At::JailSet(|_, w| time_zone(w)),
        reply: PERHAPS_TEXT,
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "prefregex",
        at: At::JailSet(|_, w| Ok(JailSet::PrefRegex(prefix(w)?))),
        reply: Type::Str,
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "usedns",
        at: At::JailSet(|_, w| use_dns(w)),
        reply: Type::Str,
        show: Show::Text,
        forms: &[form(Configuration, "<VALUE>", "treats names in the log of <JAIL> as <VALUE> tells")],
    },
    Entry {
        name: "attempt",
        at: At::JailSet(|_, w| attempt(w)),
        reply: Type::Int,
        show: Show::Text,
        forms: &[form(
            Configuration,
            "<IP> [<failure1> ... <failureN>]",
            "counts a failure of <IP> that no log told",
        )],
    },
    Entry {
        name: "banip",
        at: At::JailSet(|_, w| Ok(JailSet::BanIp(w.from(0).iter().map(address).collect()))),
        reply: Type::Int,
        show: Show::Text,
        forms: &[form(Configuration, "<IP> ... <IP>", "bans <IP> in <JAIL>")],
    },
    Entry {
        name: "unbanip",
        at: At::JailSet(|_, w| unban_ip(w)),
        reply: Type::Int,
        show: Show::Text,
        forms: &[form(
            Configuration,
            "[--report-absent] <IP> ... <IP>",
            "lifts the ban of <IP> in <JAIL>; on demand it is an error if there is none",
        )],
    },
    Entry {
        name: "maxretry",
        at: At::JailSet(|_, w| Ok(JailSet::MaxRetry(w.int(0)?))),
        reply: Type::Int,
        show: Show::Text,
        forms: &[form(Configuration, "<RETRY>", "bans in <JAIL> at the failure number <RETRY>")],
    },
    Entry {
        name: "maxmatches",
        at: At::JailSet(|_, w| Ok(JailSet::MaxMatches(w.int(0)?))),
        reply: Type::Int,
        show: Show::Text,
        forms: &[form(Configuration, "<INT>", "keeps no more than <INT> lines for each address of <JAIL>")],
    },
    Entry {
        name: "maxlines",
        at: At::JailSet(|_, w| max_lines(w)),
        reply: Type::Int,
        show: Show::Text,
        forms: &[form(
            Configuration,
            "<LINES>",
            "lets the expressions of <JAIL> look at <LINES> lines at once",
        )],
    },
    Entry {
        name: "addaction",
        at: At::JailSet(|_, w| add_action(w)),
        reply: Type::Str,
        show: Show::Text,
        forms: &[form(
            Configuration,
            "<ACT>[ <PYTHONFILE> <JSONKWARGS>]",
            "gives <JAIL> an action <ACT>, made of commands, or of <PYTHONFILE> called with <JSONKWARGS>",
        )],
    },
    Entry {
        name: "delaction",
        at: At::JailSet(|_, w| Ok(JailSet::DelAction(w.text(0)?))),
        reply: Type::None,
        show: Show::Text,
        forms: &[form(Configuration, "<ACT>", "takes the action <ACT> away from <JAIL>")],
    },
    Entry {
        name: "action",
        at: At::JailSet(|_, w| action(w)),
        reply: Type::Any,
        show: Show::Text,
        forms: &[
            form(CommandConfiguration, "<ACT> actionstart <CMD>", "runs <CMD> when <ACT> of <JAIL> starts"),
            form(CommandConfiguration, "<ACT> actionstop <CMD>", "runs <CMD> when <ACT> of <JAIL> stops"),
            form(
                CommandConfiguration,
                "<ACT> actioncheck <CMD>",
                "asks <CMD> whether <ACT> of <JAIL> is in place",
            ),
            form(CommandConfiguration, "<ACT> actionban <CMD>", "runs <CMD> to ban by <ACT> of <JAIL>"),
            form(
                CommandConfiguration,
                "<ACT> actionunban <CMD>",
                "runs <CMD> to lift a ban by <ACT> of <JAIL>",
            ),
            form(
                CommandConfiguration,
                "<ACT> timeout <TIMEOUT>",
                "ends commands of <ACT> after <TIMEOUT> seconds",
            ),
            form(
                ActionConfiguration,
                "<ACT> <PROPERTY> <VALUE>",
                "gives <ACT> of <JAIL> any other <PROPERTY>",
            ),
            form(
                ActionConfiguration,
                "<ACT> <METHOD>[ <JSONKWARGS>]",
                "calls <METHOD> of <ACT> of <JAIL>, with <JSONKWARGS> if there are any",
            ),
        ],
    },
    Entry {
        name: "banned",
        at: At::JailGet(|_, w| Ok(JailGet::Banned(w.from(0).iter().map(sized_address).collect()))),
        reply: JAIL_BANNED,
        show: Show::Text,
        forms: &[
            form(Information, "", "tells who is banned in <JAIL>"),
            form(Information, "<IP> ... <IP>", "tells 1 for each <IP> that is banned in <JAIL>, else 0"),
        ],
    },
    Entry {
        name: "logpath",
        at: At::JailGet(|_, _| Ok(JailGet::LogPath)),
        reply: TEXTS,
        show: Show::FileList,
        forms: &[form(Information, "", "tells which files <JAIL> watches")],
    },
    Entry {
        name: "logencoding",
        at: At::JailGet(|_, _| Ok(JailGet::LogEncoding)),
        reply: Type::Str,
        show: Show::Encoding,
        forms: &[form(Information, "", "tells how <JAIL> decodes its log files")],
    },
    Entry {
        name: "journalmatch",
        at: At::JailGet(|_, _| Ok(JailGet::JournalMatch)),
        reply: MATCHES,
        show: Show::JournalMatch,
        forms: &[form(Information, "", "tells what <JAIL> reads of the journal")],
    },
    Entry {
        name: "ignoreself",
        at: At::JailGet(|_, _| Ok(JailGet::IgnoreSelf)),
        reply: Type::Bool,
        show: Show::Text,
        forms: &[form(Information, "", "tells whether this machine's own addresses are left alone")],
    },
    Entry {
        name: "ignoreip",
        at: At::JailGet(|_, _| Ok(JailGet::IgnoreIp)),
        reply: TEXTS,
        show: Show::IgnoreList,
        forms: &[form(Information, "", "tells whom <JAIL> never bans")],
    },
    Entry {
        name: "ignorecommand",
        at: At::JailGet(|_, _| Ok(JailGet::IgnoreCommand)),
        reply: Type::Any,
        show: Show::Text,
        forms: &[form(Information, "", "tells which command decides who is not banned in <JAIL>")],
    },
    Entry {
        name: "ignorecache",
        at: At::JailGet(|_, _| Ok(JailGet::IgnoreCache)),
        reply: IGNORE_CACHE,
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "prefregex",
        at: At::JailGet(|_, _| Ok(JailGet::PrefRegex)),
        reply: Type::Str,
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "failregex",
        at: At::JailGet(|_, _| Ok(JailGet::FailRegex)),
        reply: TEXTS,
        show: Show::Regexes,
        forms: &[form(Information, "", "tells by which expressions <JAIL> knows failures")],
    },
    Entry {
        name: "ignoreregex",
        at: At::JailGet(|_, _| Ok(JailGet::IgnoreRegex)),
        reply: TEXTS,
        show: Show::Regexes,
        forms: &[form(Information, "", "tells by which expressions <JAIL> passes lines over")],
    },
    Entry {
        name: "findtime",
        at: At::JailGet(|_, _| Ok(JailGet::FindTime)),
        reply: Type::Number,
        show: Show::Text,
        forms: &[form(Information, "", "tells within how many seconds <JAIL> counts failures")],
    },
    Entry {
        name: "bantime",
        at: At::JailGet(|_, _| Ok(JailGet::BanTime)),
        reply: Type::Int,
        show: Show::Text,
        forms: &[form(Information, "", "tells for how many seconds <JAIL> bans")],
    },
    Entry {
        name: "bantime.",
        at: At::JailGet(|option, _| Ok(JailGet::BanTimeOption(option.into()))),
        reply: Type::Any,
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "datepattern",
        at: At::JailGet(|_, _| Ok(JailGet::DatePattern)),
        reply: DATE_PATTERN,
        show: Show::DatePattern,
        forms: &[form(Information, "", "tells how <JAIL> finds the time in a line")],
    },
    Entry {
        name: "logtimezone",
        at: At::JailGet(|_, _| Ok(JailGet::LogTimeZone)),
        reply: PERHAPS_TEXT,
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "usedns",
        at: At::JailGet(|_, _| Ok(JailGet::UseDns)),
        reply: Type::Str,
        show: Show::Text,
        forms: &[form(Information, "", "tells what <JAIL> does with names in the log")],
    },
    Entry {
        name: "banip",
        at: At::JailGet(|_, w| Ok(ban_list(w))),
        reply: TEXTS,
        show: Show::BanList,
        forms: &[form(
            Information,
            "[<SEP>|--with-time]",
            "tells who is banned in <JAIL>, whose ban ends first coming first; with <SEP> between them instead \
             of a blank, or each on a line with the times",
        )],
    },
    Entry {
        name: "maxretry",
        at: At::JailGet(|_, _| Ok(JailGet::MaxRetry)),
        reply: Type::Int,
        show: Show::Text,
        forms: &[form(Information, "", "tells at how many failures <JAIL> bans")],
    },
    Entry {
        name: "maxmatches",
        at: At::JailGet(|_, _| Ok(JailGet::MaxMatches)),
        reply: Type::Int,
        show: Show::Text,
        forms: &[form(Information, "", "tells how many lines <JAIL> keeps for each address")],
    },
    Entry {
        name: "maxlines",
        at: At::JailGet(|_, _| Ok(JailGet::MaxLines)),
        reply: Type::Int,
        show: Show::Text,
        forms: &[form(Information, "", "tells how many lines the expressions of <JAIL> look at")],
    },
    Entry {
        name: "actions",
        at: At::JailGet(|_, _| Ok(JailGet::Actions)),
        reply: TEXTS,
        show: Show::Actions,
        forms: &[form(Information, "", "tells the actions of <JAIL>")],
    },
    Entry {
        name: "actionproperties",
        at: At::JailGet(|_, w| Ok(JailGet::ActionProperties(w.text(0)?))),
        reply: TEXTS,
        show: Show::ActionParts("properties"),
        forms: &[form(ActionInformation, "<ACT>", "tells the properties of <ACT> of <JAIL>")],
    },
    Entry {
        name: "actionmethods",
        at: At::JailGet(|_, w| Ok(JailGet::ActionMethods(w.text(0)?))),
        reply: TEXTS,
        show: Show::ActionParts("methods"),
        forms: &[form(ActionInformation, "<ACT>", "tells the methods of <ACT> of <JAIL>")],
    },
    Entry {
        name: "action",
        at: At::JailGet(|_, w| action_property(w)),
        reply: Type::Any,
        show: Show::Text,
        forms: &[
            form(CommandInformation, "<ACT> actionstart", "tells what runs when <ACT> of <JAIL> starts"),
            form(CommandInformation, "<ACT> actionstop", "tells what runs when <ACT> of <JAIL> stops"),
            form(
                CommandInformation,
                "<ACT> actioncheck",
                "tells what checks whether <ACT> of <JAIL> is in place",
            ),
            form(CommandInformation, "<ACT> actionban", "tells what bans by <ACT> of <JAIL>"),
            form(CommandInformation, "<ACT> actionunban", "tells what lifts a ban by <ACT> of <JAIL>"),
            form(CommandInformation, "<ACT> timeout", "tells after how many seconds commands of <ACT> end"),
            form(ActionInformation, "<ACT> <PROPERTY>", "tells any <PROPERTY> of <ACT> of <JAIL>"),
        ],
    },
];
