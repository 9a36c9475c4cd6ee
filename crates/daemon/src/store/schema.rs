//! Tables and indexes of a Fail2ban database, version 4. The texts are facts of the format: `.schema` shows them.

/// The version that Fail2ban 0.11 to 1.1 write.
pub(super) const VERSION: i64 = 4;

/// A table: its name, its text, its columns with what stands for one that an older version did not have.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) columns: &'static [(&'static str, &'static str)],
}

/// In the order in which rows can be put in without breaking a foreign key.
pub(super) const TABLES: [Table; 5] = [
    Table {
        name: "fail2banDb",
        text: "CREATE TABLE fail2banDb(version INTEGER)",
        columns: &[("version", "4")],
    },
    Table {
        name: "jails",
        text: "CREATE TABLE jails(name TEXT NOT NULL UNIQUE, enabled INTEGER NOT NULL DEFAULT 1)",
        columns: &[("name", "''"), ("enabled", "1")],
    },
    Table {
        name: "logs",
        text: "CREATE TABLE logs(jail TEXT NOT NULL, path TEXT, firstlinemd5 TEXT, \
               lastfilepos INTEGER DEFAULT 0, \
               FOREIGN KEY(jail) REFERENCES jails(name) ON DELETE CASCADE, \
               UNIQUE(jail, path),UNIQUE(jail, path, firstlinemd5))",
        columns: &[("jail", "''"), ("path", "''"), ("firstlinemd5", "''"), ("lastfilepos", "0")],
    },
    Table {
        name: "bans",
        text: "CREATE TABLE bans(jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, \
               bantime INTEGER NOT NULL, bancount INTEGER NOT NULL default 1, data JSON, \
               FOREIGN KEY(jail) REFERENCES jails(name) )",
        columns: &[
            ("jail", "''"),
            ("ip", "''"),
            ("timeofban", "0"),
            ("bantime", "-2"),
            ("bancount", "1"),
            ("data", "NULL"),
        ],
    },
    Table {
        name: "bips",
        text: "CREATE TABLE bips(ip TEXT NOT NULL, jail TEXT NOT NULL, timeofban INTEGER NOT NULL, \
               bantime INTEGER NOT NULL, bancount INTEGER NOT NULL default 1, data JSON, \
               PRIMARY KEY(ip, jail), FOREIGN KEY(jail) REFERENCES jails(name) )",
        columns: &[
            ("ip", "''"),
            ("jail", "''"),
            ("timeofban", "0"),
            ("bantime", "-2"),
            ("bancount", "1"),
            ("data", "NULL"),
        ],
    },
];

/// Tables of our own, of which Fail2ban knows nothing: failures that are counted and make no ban yet, and how far the logs were
/// read when they were counted. Where Fail2ban's table `logs` says otherwise, another program has gone on, and they count no
/// more. They are there only as long as somebody is counted: after an end in order the file is as Fail2ban would leave it.
pub(super) const MAKE_TALLIES: &str = "
    CREATE TABLE IF NOT EXISTS portcullis_tallies(jail TEXT NOT NULL, ip TEXT NOT NULL, first REAL NOT NULL,
        last REAL NOT NULL, retry REAL NOT NULL, data JSON, PRIMARY KEY(jail, ip)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS portcullis_places(jail TEXT NOT NULL, path TEXT NOT NULL, firstlinemd5 TEXT,
        lastfilepos INTEGER, PRIMARY KEY(jail, path)) WITHOUT ROWID;
    INSERT OR REPLACE INTO portcullis_places SELECT jail, path, firstlinemd5, lastfilepos FROM logs";

/// Takes them away again.
pub(super) const DROP_TALLIES: &str = "DROP TABLE portcullis_tallies; DROP TABLE portcullis_places";

pub(super) const INDEXES: [&str; 8] = [
    "CREATE INDEX IF NOT EXISTS jails_name ON jails(name)",
    "CREATE INDEX IF NOT EXISTS logs_path ON logs(path)",
    "CREATE INDEX IF NOT EXISTS logs_jail_path ON logs(jail, path)",
    "CREATE INDEX IF NOT EXISTS bans_jail_timeofban_ip ON bans(jail, timeofban)",
    "CREATE INDEX IF NOT EXISTS bans_jail_ip ON bans(jail, ip)",
    "CREATE INDEX IF NOT EXISTS bans_ip ON bans(ip)",
    "CREATE INDEX IF NOT EXISTS bips_timeofban ON bips(timeofban)",
    "CREATE INDEX IF NOT EXISTS bips_ip ON bips(ip)",
];

/// From the history of bans, the newest of each offender and jail: what version 4 brought.
pub(super) const FILL_BIPS: &str = "INSERT OR REPLACE INTO bips(ip, jail, timeofban, bantime, bancount, data) \
     SELECT ip, jail, timeofban, bantime, bancount, data FROM bans \
     WHERE ip IS NOT NULL ORDER BY timeofban, rowid";
