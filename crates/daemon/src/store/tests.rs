//! What the database promises. Figures and texts are those of Fail2ban 1.0.2 on the same rows.

use std::path::Path;
use std::sync::Arc;

use portcullis_jail::failure::Data;
use portcullis_jail::tally::Counted;
use portcullis_jail::{Id, Level, MatchedLine, Ticket, Timestamp};
use portcullis_value::Value;
use rusqlite::Connection;

use super::{Database, Portion, Position, Restore, Write};

const NOW: Timestamp = Timestamp(1_795_376_317.0);

struct Scene {
    dir: tempfile::TempDir,
    database: Database,
}

impl Scene {
    fn new() -> Self {
        Scene { dir: tempfile::tempdir().unwrap(), database: Database::new() }
    }

    /// A database with the running jail `j`.
    fn open() -> Self {
        let mut scene = Self::new();
        scene.reopen();
        scene.database.push(vec![Write::Jail { name: "j".into(), enabled: true }]);
        scene.database.flush(NOW);
        scene
    }

    fn file(&self) -> String {
        self.dir.path().join("f2b.sqlite3").to_str().unwrap().to_owned()
    }

    fn reopen(&mut self) {
        let file = self.file();
        self.database.open(Some(&file), NOW);
    }

    /// A second connection: an administrator with a shell.
    fn shell(&self) -> Connection {
        Connection::open(self.file()).unwrap()
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        let shell = self.shell();
        let mut statement = shell.prepare(sql).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let values = (0..columns).map(|n| match row.get(n).unwrap() {
                rusqlite::types::Value::Blob(bytes) => format!("b'{}'", String::from_utf8(bytes).unwrap()),
                rusqlite::types::Value::Text(text) => format!("'{text}'"),
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Real(number) => format!("{number:?}"),
                rusqlite::types::Value::Null => "NULL".into(),
            });
            Ok(values.collect::<Vec<_>>().join(", "))
        };
        statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn said(&mut self) -> Vec<String> {
        let lines = self.database.lines().into_iter();
        let directory = self.dir.path().to_str().unwrap();
        lines.map(|line| format!("{} {}", line.level.0, line.text.replace(directory, "DIR"))).collect()
    }

    fn ban(&mut self, id: &str, ago: f64, bantime: i64) {
        self.database.push(vec![ban(id, ago, bantime)]);
        self.database.flush(NOW);
    }

    fn restored(&mut self, bantime: i64, increment: bool, maxtime: Option<i64>) -> Vec<String> {
        let bantime = Value::Int(bantime);
        let maxtime = maxtime.map(Value::Int);
        let rule = Restore { jail: "j", bantime: &bantime, increment, maxtime, now: NOW };
        let mut tickets = Vec::new();
        self.database.restorable(&rule, Portion::all(), &mut |ticket| tickets.push(ticket));
        tickets.into_iter().map(|ticket| format!("{} {}", ticket.id, ticket.bantime.unwrap())).collect()
    }
}

fn ban(id: &str, ago: f64, bantime: impl Into<Value>) -> Write {
    let ticket = Ticket::by_hand(Id::new(id), NOW.plus(-ago));
    Write::Ban { jail: "j".into(), ticket: Arc::new(ticket), bantime: bantime.into() }
}

fn log(path: &str, first_line: &str, position: u64) -> Write {
    let position = Position { first_line: first_line.into(), position };
    Write::Log { jail: "j".into(), path: Path::new(path).into(), position }
}

#[test]
fn a_new_file_has_fail2bans_schema_and_is_for_root_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut scene = Scene::new();
    scene.reopen();
    let new = [
        "20 Connected to fail2ban persistent database 'DIR/f2b.sqlite3'",
        "30 New database created. Version '4'",
    ];
    assert_eq!(scene.said(), new);
    let schema = scene.rows("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name");
    insta::assert_snapshot!(schema.join("\n"));
    assert_eq!(scene.rows("SELECT * FROM fail2banDb"), ["4"]);
    let mode = std::fs::metadata(scene.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    scene.database.close(NOW);
    assert_eq!(scene.said(), ["20 Connection to database closed."]);
    // Back to a rollback journal, so that it is one plain file.
    assert_eq!(std::fs::read(scene.file()).unwrap()[18..20], [1, 1]);
    assert_eq!(std::fs::read_dir(scene.dir.path()).unwrap().count(), 1);
}

#[test]
fn a_ban_is_a_row_in_both_tables() {
    let mut scene = Scene::open();
    let mut ticket = Ticket::by_hand(Id::new("2001:DB8::1"), NOW.plus(0.5));
    ticket.bancount = 3;
    let ticket = Arc::new(ticket);
    for bantime in [Value::Int(600), Value::Float(24.5), Value::Float(600.0)] {
        scene.database.push(vec![Write::Ban { jail: "j".into(), ticket: ticket.clone(), bantime }]);
    }
    scene.database.flush(NOW);
    let data = "b'{\"matches\": [], \"failures\": 0}'";
    let row = |bantime| format!("'j', '2001:db8::1', 1795376318, {bantime}, 3, {data}");
    // The time is rounded half to even, as Python does; integral floats become integers.
    assert_eq!(scene.rows("SELECT * FROM bans"), [row("600"), row("24.5"), row("600")]);
    let bips = scene.rows("SELECT jail, ip, timeofban, bantime, bancount, data FROM bips");
    assert_eq!(bips, [row("600")]);
}

#[test]
fn positions_are_kept_and_found_again() {
    let mut scene = Scene::open();
    assert_eq!(scene.database.position("j", Path::new("/a"), NOW), None);
    scene.database.push(vec![
        log("/a", "", 0),
        log("/a", "3f78", 41),
        log("systemd-journal", "x ", 1_795_371_909_123_456),
    ]);
    scene.database.flush(NOW);
    let rows = scene.rows("SELECT * FROM logs");
    assert_eq!(rows, ["'j', '/a', '3f78', 41", "'j', 'systemd-journal', 'x ', 1795371909.123456"]);
    let position =
        |scene: &mut Scene, path: &str| scene.database.position("j", Path::new(path), NOW).unwrap();
    assert_eq!(position(&mut scene, "/a"), Position { first_line: "3f78".into(), position: 41 });
    assert_eq!(position(&mut scene, "systemd-journal").position, 1_795_371_909_123_456);
    scene.shell().execute("INSERT INTO logs(jail, path) VALUES('j', '/null')", []).unwrap();
    assert_eq!(position(&mut scene, "/null"), Position::default());
}

#[test]
fn lifting_by_hand_wipes_the_record_and_ending_does_not() {
    let mut scene = Scene::open();
    for id in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        scene.ban(id, 0.0, 600);
    }
    scene.database.push(vec![Write::Unban { jail: "j".into(), id: "192.0.2.2".into() }]);
    scene.database.push(vec![Write::Jail { name: "j".into(), enabled: false }]);
    scene.database.flush(NOW);
    for table in ["bans", "bips"] {
        let ids = scene.rows(&format!("SELECT ip FROM {table}"));
        assert_eq!(ids, ["'192.0.2.1'", "'192.0.2.3'"]);
    }
    assert_eq!(scene.rows("SELECT * FROM jails"), ["'j', 0"]);
    scene.database.push(vec![Write::UnbanAll { jail: "j".into() }]);
    scene.database.flush(NOW);
    assert_eq!(scene.rows("SELECT count(*) FROM bans UNION ALL SELECT count(*) FROM bips"), ["0", "0"]);
}

fn restore_scene() -> Scene {
    let mut scene = Scene::open();
    let rows = [
        ("9.0.0.1", 100.0, 600),
        ("10.0.0.1", 100.0, -1),
        ("192.0.2.8", 100.0, -2),
        ("192.0.2.5", 500.0, 1000),
    ];
    for (id, ago, bantime) in rows.into_iter().chain([
        ("192.0.2.7", 700.0, 1000),
        ("2001:db8::1", -100.0, 600),
        ("over", 700.0, 600),
    ]) {
        scene.ban(id, ago, bantime);
    }
    scene
}

#[test]
fn bans_are_restored_as_the_jails_settings_allow_and_permanent_ones_for_ever() {
    let mut scene = restore_scene();
    let all = |five, seven, eight| {
        let one = "10.0.0.1 -1".to_owned();
        let many =
            [one, format!("192.0.2.5 {five}"), format!("192.0.2.7 {seven}"), format!("192.0.2.8 {eight}")];
        many.into_iter().chain(["2001:db8::1 600".to_owned(), "9.0.0.1 600".to_owned()]).collect::<Vec<_>>()
    };
    let without_seven: Vec<String> =
        all(600, 0, 600).into_iter().filter(|row| !row.starts_with("192.0.2.7")).collect();
    assert_eq!(scene.restored(600, false, None), without_seven);
    assert_eq!(scene.restored(60, false, None), ["10.0.0.1 -1", "2001:db8::1 60"]);
    assert_eq!(scene.restored(-1, false, None), all(1000, 1000, -1));
    assert_eq!(scene.restored(600, true, None), all(1000, 1000, 600));
    assert_eq!(scene.restored(60, true, Some(300)), ["10.0.0.1 -1", "2001:db8::1 300", "9.0.0.1 300"]);
    assert!(scene.said().iter().any(|line| line.contains("ignore ticket (with new max ban-time 300)")));
}

#[test]
fn a_restored_ticket_is_the_one_that_was_written() {
    let mut scene = Scene::open();
    let data = "{\"matches\": [[\"a \", \"Nov 22\", \" b\"], \"c\"], \"failures\": 2, \"user\": \"joe\", \"ip\": \"192.0.2.1\"}";
    let sql = "INSERT INTO bips VALUES('joe', 'j', ?1, 600, 4, ?2), ('text', 'j', ?1, 600, 4, ?3), ('bad', 'j', ?1, 600, 4, 'x')";
    scene.shell().execute(sql, rusqlite::params![NOW.0 as i64, data.as_bytes(), data]).unwrap();
    let bantime = Value::Int(600);
    let rule = Restore { jail: "j", bantime: &bantime, increment: false, maxtime: None, now: NOW };
    let mut tickets = Vec::new();
    scene.database.restorable(&rule, Portion::all(), &mut |ticket| tickets.push(ticket));
    assert_eq!(tickets.iter().map(|ticket| ticket.id.text()).collect::<Vec<_>>(), ["bad", "joe", "text"]);
    assert_eq!(tickets[1].matches, tickets[2].matches);
    let joe = &tickets[1];
    assert_eq!((joe.time, joe.failures, joe.bancount, joe.restored), (NOW, 2, 5, true));
    assert_eq!(
        joe.matches.iter().map(portcullis_jail::MatchedLine::line).collect::<Vec<_>>(),
        ["a Nov 22 b", "c"]
    );
    assert_eq!((joe.ip.as_ref().unwrap().text(), &joe.data["user"]), ("192.0.2.1", &Value::from("joe")));
    assert_eq!(tickets[0].failures, 0);
    assert!(scene.said().iter().any(|line| line.starts_with("40 json loads failed: ")));
}

#[test]
fn a_ban_for_a_time_of_its_own_is_restored_for_that_time_whatever_the_jails_is() {
    let mut scene = Scene::open();
    let mut asked = Ticket::by_hand(Id::new("192.0.2.9"), NOW.plus(-700.0));
    asked.data.insert(portcullis_jail::jail::FOR.to_owned(), Value::Int(86400));
    let bantime = Value::Int(86400);
    scene.database.push(vec![Write::Ban { jail: "j".into(), ticket: Arc::new(asked), bantime }]);
    scene.database.flush(NOW);
    assert_eq!(scene.restored(600, false, None), ["192.0.2.9 86400"]);
    assert_eq!(scene.restored(600, true, Some(600)), ["192.0.2.9 86400"]);
}

#[test]
fn history_counts_one_jail_or_all() {
    let mut scene = Scene::open();
    scene.ban("192.0.2.1", 100.0, 600);
    let sql = "INSERT INTO jails VALUES('k', 1); INSERT INTO bips VALUES('192.0.2.1', 'k', 5, 7, 3, NULL)";
    scene.shell().execute_batch(sql).unwrap();
    let mut ask = |id, all| {
        scene
            .database
            .history("j", id, all, NOW)
            .map(|history| (history.count, history.last.0, history.bantime))
    };
    assert_eq!(ask("192.0.2.1", false), Some((1, NOW.0 - 100.0, Value::Int(600))));
    assert_eq!(ask("192.0.2.1", true), Some((4, NOW.0 - 100.0, Value::Int(600))));
    assert_eq!(ask("192.0.2.2", true), None);
    let past = scene.database.past(None, "192.0.2.1", NOW);
    assert_eq!((past.failures, past.matches.len()), (0, 0));
}

#[test]
fn purge_takes_what_is_old_and_jails_of_which_nothing_is_left() {
    let mut scene = Scene::open();
    let day = 86400.0;
    for (id, ago, bantime) in
        [("short", 25.0 / 24.0 * day, 600), ("day", 1.5 * day, 86400), ("old", 4.1 * day, 86400)]
    {
        scene.ban(id, ago, bantime);
    }
    for (id, bantime) in [("ever", -1), ("unknown", -2)] {
        scene.ban(id, 2.0 * day, bantime);
    }
    let sql =
        "INSERT INTO jails VALUES('gone', 0), ('idle', 1); INSERT INTO logs VALUES('gone', '/x', '', 0)";
    scene.shell().execute_batch(sql).unwrap();
    scene.database.tick(NOW.plus(3599.0));
    assert_eq!(scene.rows("SELECT ip FROM bips").len(), 5);
    scene.database.purge(NOW).unwrap();
    assert_eq!(scene.rows("SELECT ip FROM bips ORDER BY ip"), ["'day'", "'ever'"]);
    assert_eq!(scene.rows("SELECT ip FROM bans"), [""; 0]);
    assert_eq!(scene.rows("SELECT name FROM jails ORDER BY name"), ["'idle'", "'j'"]);
    assert_eq!(scene.rows("SELECT count(*) FROM logs"), ["0"]);
    scene.database.set_purge_age(1.0);
    scene.database.tick(NOW.plus(3.2 * day));
    assert_eq!(scene.rows("SELECT ip FROM bips ORDER BY ip"), ["'ever'"]);
}

#[test]
fn what_cannot_be_written_waits_counts_as_written_and_is_not_lost() {
    let mut scene = Scene::open();
    scene.said();
    let shell = scene.shell();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    scene.ban("192.0.2.1", 0.0, 600);
    scene.database.push(vec![log("/a", "3f78", 7)]);
    assert_eq!(scene.said(), ["40 database is locked; 1 record(s) wait to be written"]);
    assert_eq!(scene.database.health().waiting, 2);
    assert_eq!(scene.database.history("j", "192.0.2.1", false, NOW).unwrap().count, 1);
    assert_eq!(scene.database.position("j", Path::new("/a"), NOW).unwrap().position, 7);
    assert_eq!(scene.restored(600, false, None), ["192.0.2.1 600"]);
    shell.execute_batch("COMMIT").unwrap();
    // Not before its time, and then without a word from anybody.
    scene.database.flush(NOW);
    assert_eq!(scene.database.health().waiting, 2);
    scene.database.tick(NOW.plus(1.0));
    assert_eq!(scene.database.health().waiting, 0);
    assert_eq!(scene.said(), ["30 database is written again, nothing was lost"]);
    assert_eq!(scene.rows("SELECT ip FROM bips"), ["'192.0.2.1'"]);
}

#[test]
fn a_position_and_the_ban_of_its_lines_are_written_both_or_neither() {
    let mut scene = Scene::open();
    scene.database.push(vec![log("/a", "3f78", 7)]);
    scene
        .shell()
        .execute_batch("CREATE TRIGGER t BEFORE INSERT ON bans BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    scene.database.push(vec![log("/a", "3f78", 9), ban("192.0.2.1", 0.0, 600)]);
    scene.database.push(vec![log("/b", "", 1)]);
    scene.database.flush(NOW);
    assert_eq!(scene.rows("SELECT path, lastfilepos FROM logs"), ["'/a', 7", "'/b', 1"]);
    assert_eq!(scene.database.health().lost, 2);
    assert!(scene.said().contains(&"40 database refuses a record: no".to_owned()));
}

fn counted(id: &str, ago: f64) -> (Id, Option<Counted>) {
    let last = NOW.plus(-ago);
    let counted = Counted {
        ip: Some(Id::new("2001:db8::1")),
        first: last.plus(-5.5),
        last,
        retry: 2.5,
        failures: 4,
        matches: vec![MatchedLine::plain(format!("line of {id}"))],
        data: Data::from_iter([("user".to_owned(), id.into())]),
    };
    (Id::new(id), Some(counted))
}

fn tallies(changes: &[(Id, Option<Counted>)]) -> Write {
    Write::Tallies { jail: "j".into(), anew: false, changes: changes.to_vec() }
}

#[test]
fn tallies_and_their_positions_come_back_after_a_kill() {
    let mut scene = Scene::open();
    let (one, two, three) = (counted("192.0.2.1", 10.0), counted("192.0.2.2", 90.0), counted("joe", 20.0));
    scene.database.push(vec![log("/a", "x", 70), tallies(&[one.clone(), two, three.clone()])]);
    scene.database.flush(NOW);
    scene.database.push(vec![log("/a", "x", 80), tallies(&[(one.0.clone(), None)])]);
    // A rejected record takes nothing with it.
    scene.database.flush(NOW);
    scene.database = Database::new();
    scene.reopen();
    let since = NOW.0 - 60.0;
    let back = scene.database.tallies("j", since, 9, NOW);
    assert_eq!(back, [(three.0.clone(), three.1.clone().unwrap())]);
    assert!(scene.database.tallies("other", since, 9, NOW).is_empty());
    let all = scene.database.tallies("j", 0.0, 9, NOW);
    assert_eq!(all.iter().map(|(id, _)| id.text()).collect::<Vec<_>>(), ["192.0.2.2", "joe"]);
    assert_eq!(scene.database.tallies("j", 0.0, 1, NOW).len(), 1);
}

#[test]
fn tallies_count_no_more_where_another_program_has_read_on() {
    for change in [
        "UPDATE logs SET lastfilepos = 99 WHERE path = '/a'",
        "UPDATE logs SET firstlinemd5 = 'other' WHERE path = '/b'",
        "DELETE FROM logs WHERE path = '/a'",
    ] {
        let mut scene = Scene::open();
        // Before anybody was counted.
        scene.database.push(vec![log("/b", "y", 5)]);
        scene.database.flush(NOW);
        scene.database.push(vec![log("/a", "x", 70), tallies(&[counted("192.0.2.1", 1.0)])]);
        scene.database.flush(NOW);
        assert_eq!(scene.database.tallies("j", 0.0, 9, NOW).len(), 1);
        scene.shell().execute_batch(change).unwrap();
        assert!(scene.database.tallies("j", 0.0, 9, NOW).is_empty(), "{change}");
        // Nor when the positions agree again.
        scene.database.push(vec![log("/a", "x", 120), log("/b", "y", 5)]);
        scene.database.flush(NOW);
        assert!(scene.database.tallies("j", 0.0, 9, NOW).is_empty(), "{change}");
    }
}

#[test]
fn an_end_in_order_leaves_fail2bans_tables_alone_and_a_restart_keeps_the_tallies() {
    for in_order in [true, false] {
        let mut scene = Scene::open();
        scene.database.push(vec![log("/a", "x", 70), tallies(&[counted("192.0.2.1", 1.0)])]);
        if in_order {
            let (jail, changes) = ("j".into(), Vec::new());
            scene.database.push(vec![Write::Tallies { jail, anew: true, changes }]);
        }
        scene.database.close(NOW);
        let ours = scene.rows("SELECT name FROM sqlite_master WHERE name LIKE 'portcullis%'");
        assert_eq!(ours.is_empty(), in_order, "{ours:?}");
        scene.reopen();
        let left = scene.database.tallies("j", 0.0, 9, NOW).len();
        assert_eq!(left, usize::from(!in_order));
        assert!(!scene.said().iter().any(|line| line.starts_with("40")));
    }
}

#[test]
fn a_file_that_is_no_database_is_moved_aside_and_a_new_one_made() {
    let mut scene = Scene::new();
    std::fs::write(scene.file(), "garbage ".repeat(1000)).unwrap();
    scene.reopen();
    let said = scene.said();
    let backup = "DIR/f2b.sqlite3.20261122-193837";
    insta::assert_snapshot!(said.join("\n"));
    assert!(said.iter().any(|line| line.contains(backup)));
    let backup = std::fs::read(format!("{}.20261122-193837", scene.file())).unwrap();
    assert!(backup.starts_with(b"garbage garbage"));
    scene.database.push(vec![ban("192.0.2.1", 0.0, 600)]);
    scene.database.flush(NOW);
    assert_eq!(scene.rows("SELECT count(*) FROM bips"), ["1"]);
}

#[test]
fn of_a_file_damaged_while_it_is_used_all_is_kept_that_can_be_read() {
    let mut scene = Scene::open();
    scene.database.push((0..3000).map(|n| ban(&format!("id{n:05}"), 0.0, 600)).collect());
    scene.database.close(NOW);
    let pages = 4096;
    let mut bytes = std::fs::read(scene.file()).unwrap();
    let middle = bytes.len() / pages / 3 * pages;
    bytes[middle..middle + pages].fill(0xff);
    std::fs::write(scene.file(), &bytes).unwrap();
    scene.reopen();
    let sql = "SELECT ip FROM bips";
    scene.ban("new", 0.0, 600);
    let restored = scene.restored(600, false, None).len();
    assert!(restored > 1500, "{restored} {:?}", scene.said());
    assert_eq!(scene.rows(sql).len(), restored);
    assert_eq!(scene.rows("PRAGMA integrity_check"), ["'ok'"]);
    let said = scene.said().join("\n");
    assert!(said.contains("malformed") && said.contains("Repair seems to be successful"), "{said}");
    let backup = std::fs::read(format!("{}.20261122-193837", scene.file())).unwrap();
    assert_eq!(backup[middle..middle + pages], bytes[middle..middle + pages]);
}

#[test]
fn a_newer_programs_file_is_left_alone_loudly() {
    let mut scene = Scene::open();
    scene.database.close(NOW);
    scene.shell().execute("UPDATE fail2banDb SET version = 5", []).unwrap();
    let before = std::fs::read(scene.file()).unwrap();
    scene.said();
    scene.reopen();
    let said = scene.said().join("\n");
    assert!(said.contains("50 ") && said.contains("version 5"), "{said}");
    scene.ban("192.0.2.1", 0.0, 600);
    assert!(scene.database.health().trouble.is_some() && scene.database.file().is_none());
    assert_eq!(std::fs::read(scene.file()).unwrap(), before);
}

#[test]
fn a_directory_that_cannot_be_written_to_is_tried_again() {
    let mut scene = Scene::new();
    // A file where the directory should be: works for root, too.
    let directory = scene.dir.path().join("d");
    std::fs::write(&directory, "").unwrap();
    let file = directory.join("f2b").to_str().unwrap().to_owned();
    scene.database.open(Some(&file), NOW);
    let said = scene.said();
    assert!(
        said[0].starts_with("40 Error connecting to fail2ban persistent database 'DIR/d/f2b': "),
        "{said:?}"
    );
    scene.ban("192.0.2.1", 0.0, 600);
    std::fs::remove_file(&directory).unwrap();
    scene.database.tick(NOW.plus(31.0));
    assert_eq!(scene.database.health().waiting, 0);
    assert_eq!(
        Connection::open(&file)
            .unwrap()
            .query_row("SELECT ip FROM bips", [], |r| r.get::<_, String>(0))
            .unwrap(),
        "192.0.2.1"
    );
}

#[test]
fn a_file_deleted_under_us_is_written_anew_and_a_replaced_one_is_taken() {
    let mut scene = Scene::open();
    scene.ban("192.0.2.1", 0.0, 600);
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{suffix}", scene.file())).unwrap();
    }
    scene.database.tick(NOW);
    scene.ban("192.0.2.2", 0.0, 600);
    assert_eq!(scene.rows("SELECT ip FROM bips ORDER BY ip"), ["'192.0.2.1'", "'192.0.2.2'"]);
    assert!(scene.said().contains(&"40 database 'DIR/f2b.sqlite3' was deleted: written anew".to_owned()));
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{suffix}", scene.file())).unwrap();
    }
    let mut other = Database::new();
    other.open(Some(&scene.file()), NOW);
    other.push(vec![ban("192.0.2.9", 0.0, 600)]);
    other.close(NOW);
    scene.database.tick(NOW);
    assert_eq!(scene.restored(600, false, None), ["192.0.2.9 600"]);
    assert_eq!(scene.rows("SELECT * FROM jails"), ["'j', 1"]);
}

#[test]
fn older_versions_are_brought_up_to_date_after_a_copy() {
    let bans = "CREATE TABLE bans(jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, data JSON, \
                FOREIGN KEY(jail) REFERENCES jails(name))";
    let logs = "CREATE TABLE logs(jail TEXT NOT NULL, path TEXT, firstlinemd5 TEXT, lastfilepos INTEGER DEFAULT 0, \
                FOREIGN KEY(jail) REFERENCES jails(name) ON DELETE CASCADE, UNIQUE(path))";
    let fresh = Scene::open().rows("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name");
    for version in 1..4 {
        let mut scene = Scene::open();
        scene.ban("x", 0.0, 5);
        scene.database.close(NOW);
        let mut sql =
            format!("UPDATE fail2banDb SET version = {version}; DROP TABLE bips; DELETE FROM bans;");
        if version < 3 {
            sql += &format!("DROP TABLE bans; {bans};");
        }
        if version < 2 {
            sql += &format!("DROP TABLE logs; {logs};");
        }
        sql += "INSERT INTO logs VALUES('j', '/x', 'abc', 5);";
        let rest = if version < 3 { "" } else { ", 700, 2" };
        sql += &format!("INSERT INTO bans VALUES('j', '1.1.1.1', 200{rest}, '{{\"a\":1}}');");
        sql += &format!("INSERT INTO bans VALUES('j', '1.1.1.1', 100{rest}, '{{}}');");
        scene.shell().execute_batch(&sql).unwrap();
        scene.said();
        scene.reopen();
        let backup = "DIR/f2b.sqlite3.20261122-193837";
        let expected = [
            "20 Connected to fail2ban persistent database 'DIR/f2b.sqlite3'".to_owned(),
            format!("20 Upgrade database: {backup} from version '{version}'"),
            format!("20   Database backup created: {backup}"),
            format!("30 Database updated from '{version}' to '4'"),
        ];
        assert_eq!(scene.said(), expected);
        assert_eq!(scene.rows("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"), fresh);
        let (bantime, count) = if version < 3 { (-2, 1) } else { (700, 2) };
        let bips = scene.rows("SELECT ip, jail, timeofban, bantime, bancount, data FROM bips");
        assert_eq!(bips, [format!("'1.1.1.1', 'j', 200, {bantime}, {count}, '{{\"a\":1}}'")]);
        assert_eq!(scene.rows("SELECT * FROM logs"), ["'j', '/x', 'abc', 5"]);
        assert_eq!(scene.rows("SELECT count(*) FROM bans"), ["2"]);
    }
}

#[test]
fn memory_alone_works_and_none_remembers_nothing() {
    let mut scene = Scene::new();
    scene.database.open(Some(":memory:"), NOW);
    scene.ban("192.0.2.1", 0.0, 600);
    assert_eq!(scene.restored(600, false, None), ["192.0.2.1 600"]);
    scene.database.open(None, NOW);
    scene.ban("192.0.2.1", 0.0, 600);
    assert_eq!(scene.restored(600, false, None), [""; 0]);
    assert_eq!(scene.database.health().waiting, 0);
    assert!(scene.said().iter().all(|line| !line.starts_with("40")));
    assert!(!Path::new(":memory:").exists());
}

#[test]
fn kill_9_between_transactions_loses_nothing() {
    let mut scene = Scene::open();
    scene.ban("192.0.2.1", 0.0, 600);
    // As the disk stands after a sudden death: nobody closed anything.
    let copy = scene.dir.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for suffix in ["", "-wal"] {
        std::fs::copy(format!("{}{suffix}", scene.file()), copy.join(format!("f2b.sqlite3{suffix}")))
            .unwrap();
    }
    let mut survivor = Database::new();
    survivor.open(Some(copy.join("f2b.sqlite3").to_str().unwrap()), NOW);
    assert_eq!(survivor.history("j", "192.0.2.1", false, NOW).unwrap().count, 1);
    assert!(survivor.lines().iter().all(|line| line.level <= Level::INFO));
}
