//! What hostile or broken configuration does to the reader: a clear message, in bounded time and memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_config::{Configuration, Failed, Request, Source, dump, read};
use proptest::prelude::*;

const JAIL: &str = "[j]\nenabled = true\nbackend = auto\nfilter = f\naction =\n";

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in
        [("fail2ban.conf", "[Definition]\n"), ("filter.d/f.conf", "[Definition]\nfailregex = x\n")]
            .iter()
            .chain(files)
    {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

fn request() -> Request {
    Request { allow_no_files: true, ..Request::default() }
}

/// Reads, which must not take longer than a slow machine needs.
fn timely(directory: &Path) -> Result<Configuration, Failed> {
    let start = Instant::now();
    let result = read(&Source::directory(directory), &request());
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
    result
}

#[test]
fn interpolation_that_doubles_ten_times_a_level_is_refused() {
    let mut text = format!("{JAIL}a0 = {}\n", "x".repeat(1000));
    for level in 1..10 {
        text.push_str(&format!("a{level} = {}\n", format!("%(a{})s", level - 1).repeat(10)));
    }
    text.push_str("bantime = %(a9)s\n");
    let failed = timely(tree(&[("jail.conf", &text)]).path()).unwrap_err();
    assert_eq!(
        failed.text,
        "option 'bantime' in section 'j' grows beyond all bounds when its references are replaced"
    );
}

#[test]
fn interpolation_of_nothing_a_million_times_is_refused() {
    let mut text = format!("{JAIL}a0 =\n");
    for level in 1..10 {
        text.push_str(&format!("a{level} = {}\n", format!("%(a{})s", level - 1).repeat(30)));
    }
    text.push_str("bantime = %(a9)s\n");
    assert!(
        timely(tree(&[("jail.conf", &text)]).path()).unwrap_err().text.contains("grows beyond all bounds")
    );
}

#[test]
fn tags_that_double_each_other_are_refused() {
    let filter = "[Definition]\nfailregex = <a>\n[Init]\na = <b><b>xxxxxxxx\nb = <a><a>xxxxxxxx\n";
    let failed = timely(tree(&[("jail.conf", JAIL), ("filter.d/f.conf", filter)]).path()).unwrap_err();
    assert_eq!(failed.text, "option 'failregex' grows beyond all bounds when its tags are replaced");
}

#[test]
fn ten_thousand_includes_are_read_and_multiplying_ones_refused() {
    let names: String = (0..10_000).map(|index| format!("  i{index}.conf\n")).collect();
    let wide = tree(&[("jail.conf", &format!("[INCLUDES]\nbefore =\n{names}{JAIL}"))]);
    for index in 0..10_000 {
        std::fs::write(wide.path().join(format!("i{index}.conf")), "[DEFAULT]\nx = 1\n").unwrap();
    }
    assert_eq!(timely(wide.path()).unwrap().jails, ["j"]);

    let bomb = tree(&[("jail.conf", &format!("[INCLUDES]\nbefore = i0.conf\n{JAIL}"))]);
    for index in 0..40 {
        let next = index + 1;
        let text = format!("[INCLUDES]\nbefore = i{next}.conf\nafter = i{next}.conf\n[DEFAULT]\nx = 1\n");
        std::fs::write(bomb.path().join(format!("i{index}.conf")), text).unwrap();
    }
    assert!(timely(bomb.path()).unwrap_err().text.contains("includes more than"));
}

#[test]
fn files_that_include_each_other_are_read_once() {
    let files = [
        (
            "jail.conf",
            "[INCLUDES]\nbefore = a.conf\n[j]\nenabled = true\nbackend = auto\nfilter = f\naction =\n",
        ),
        ("a.conf", "[INCLUDES]\nbefore = b.conf\n[DEFAULT]\nbantime = 5\n"),
        ("b.conf", "[INCLUDES]\nbefore = a.conf\n[DEFAULT]\nfindtime = 6\n"),
    ];
    let text = dump(&timely(tree(&files).path()).unwrap().stream);
    assert!(text.contains("['set', 'j', 'findtime', '6']\n['set', 'j', 'bantime', '5']\n"), "{text}");
}

#[test]
fn a_line_of_ten_million_characters_is_a_value_like_any_other() {
    let long = "x".repeat(10_000_000);
    let directory = tree(&[("jail.conf", &format!("{JAIL}ignorecommand = {long}\n"))]);
    let configuration = timely(directory.path()).unwrap();
    assert!(dump(&configuration.stream).contains(&long));
    std::fs::write(directory.path().join("jail.local"), &long).unwrap();
    assert!(timely(directory.path()).unwrap_err().text.starts_with("File contains no section headers."));
}

#[test]
fn a_list_of_options_with_many_readings_ends() {
    let action = format!("a[{}", "x=\"y='z ".repeat(20_000));
    let directory = tree(&[("jail.conf", &JAIL.replace("action =", &format!("action = {action}")))]);
    assert_eq!(timely(directory.path()).unwrap().broken, ["j"]);
}

#[test]
fn a_directory_in_a_files_place_and_one_without_permission_are_told() {
    let directory = tree(&[("jail.conf", JAIL)]);
    std::fs::create_dir(directory.path().join("jail.local")).unwrap();
    let configuration = timely(directory.path()).unwrap();
    let told = format!("Could not read config files: {}/jail.local", directory.path().display());
    assert!(
        configuration.messages.iter().any(|message| message.text == told),
        "{:?}",
        configuration.messages
    );
    assert_eq!(configuration.jails, ["j"]);
}

#[test]
fn one_jails_mistakes_cost_that_jail_only() {
    let text = "[DEFAULT]\nenabled = true\nbackend = auto\naction =\nfilter = f\n\
                [log]\nlogpath = /nope/a\n[number]\nmaxretry = many\n[reference]\nbantime = %(nope)s\n\
                [filter]\nfilter = broken\n[good]\nbantime = 1\n";
    let broken = "[Definition]\nfailregex = x\nfailregex = y\n";
    let directory = tree(&[("jail.conf", text), ("filter.d/broken.conf", broken)]);
    let source = Source::directory(directory.path());
    assert!(read(&source, &Request::default()).is_err());
    let configuration = read(&source, &Request { jail_by_jail: true, ..Request::default() }).unwrap();
    assert_eq!(configuration.jails, ["good"]);
    assert_eq!(configuration.broken, ["log", "number", "reference", "filter"]);
    let text = dump(&configuration.stream);
    let path = directory.path().display();
    for reason in [
        format!(
            "Have not found any log file for log jail: /nope/a ({path}/jail.conf:7). Correct logpath, or set backend"
        ),
        format!("{path}/jail.conf:9: maxretry = many: expected a whole number"),
        "contains an interpolation key".to_owned(),
        format!("While reading from '{path}/filter.d/broken.conf' [line  3]"),
    ] {
        assert!(text.contains(&reason), "{reason}\n{text}");
    }
}

#[test]
fn without_a_configuration_the_catalogue_guards_sshd_and_dropbear() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("missing");
    let source = Source::with_catalogue(&empty);
    assert!(source.uses_catalogue());
    let request = Request { allow_no_files: true, jail_by_jail: true, ..Request::default() };
    let configuration = read(&source, &request).unwrap();
    let known: Vec<_> = configuration.jails.iter().chain(&configuration.broken).collect();
    assert_eq!(known, ["sshd", "dropbear"], "{:?}", configuration.messages);

    std::fs::create_dir_all(empty.join("jail.d")).unwrap();
    std::fs::write(
        empty.join("jail.d/x.conf"),
        "[sshd]\nbantime = 7h\nfilter =\naction =\n[dropbear]\nenabled = false\n",
    )
    .unwrap();
    let text = dump(&read(&Source::with_catalogue(&empty), &request).unwrap().stream);
    assert!(text.contains("['set', 'sshd', 'bantime', '7h']") && !text.contains("dropbear"), "{text}");

    std::fs::write(empty.join("jail.conf"), "").unwrap();
    assert!(!Source::with_catalogue(&empty).uses_catalogue());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_makes_the_reader_panic(
        jail in "(\\[(j|DEFAULT|INCLUDES|k\\?x)\\]\n|[a-c%()s<>/=: ;#\\[\\]\"',\n]{0,12}|enabled = true\n|filter = f\n|before = jail.conf\n|action = [a-c\\[\\]=\"', ]{0,10}\n){0,12}",
        filter in "(\\[(Definition|Init|Init\\?a=b)\\]\n|(failregex|a|b|c|maxlines) = [<>a-c/%()s]{0,10}\n){0,12}",
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let directory = tree(&[("jail.conf", &format!("{JAIL}{jail}")), ("filter.d/f.conf", &filter), ("action.d/a.conf", &filter)]);
        std::fs::write(directory.path().join("jail.local"), &garbage).unwrap();
        let _ = read(&Source::directory(directory.path()), &request());
    }
}
