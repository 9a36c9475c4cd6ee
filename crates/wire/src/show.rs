//! Replies as people read them.

/// How a reply becomes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Python's `str()`.
    Text,
    /// Nothing is printed.
    Hidden,
    /// Always these words.
    Fixed(&'static str),
    /// `Added jail web`
    Added,
    /// `Shutdown successful`, or `Jail stopped` if a jail was named.
    Stopped,
    /// `Server replied: pong`
    Pong,
    /// The words with a blank between them.
    Joined,
    /// `logs: rolled over`
    Flushed,
    /// A tree, of the server or a jail.
    Status,
    /// A table of all jails.
    Stats,
    /// `Current logging level is 'INFO'`
    LogLevel,
    /// `Current logging target is:` and the target
    LogTarget,
    /// `Current syslog socket is:` and the path
    SyslogSocket,
    /// `Current database file is:` and the path, or that there is none
    DbFile,
    /// `Current database purge age is:` and the seconds
    PurgeAge,
    /// `Current monitored log file(s):` and the files
    FileList,
    /// `Current log encoding is set to:` and its name
    Encoding,
    /// `Current match filter:` and the matches
    JournalMatch,
    /// `These IP addresses/networks are ignored:` and they
    IgnoreList,
    /// `The following regular expression are defined:` and they, numbered
    Regexes,
    /// `Current date pattern set to:` and its name
    DatePattern,
    /// Addresses with the given separator between them
    BanList,
    /// `The jail web has the following actions:` and their names
    Actions,
    /// `The jail web action a has the following properties:` and their names
    ActionParts(&'static str),
}
