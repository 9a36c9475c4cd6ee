//! `docs/json.md` against what the commands print: every field is told, and of the told type; every told field is there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::{guarded, json, ours};

/// Path to type, as a section of the page tells them.
type Fields = BTreeMap<String, String>;

fn sections() -> BTreeMap<String, Fields> {
    let page = std::fs::read_to_string(portcullis_compliance::workspace().join("docs/json.md")).unwrap();
    let mut sections = BTreeMap::new();
    for section in page.split("\n## ").skip(1) {
        let name = section.lines().next().unwrap().trim_matches('`').to_owned();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let fields = rows.map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 4, "{row}");
            // What may be missing is marked so.
            let kind = if cells[3].starts_with("sometimes") {
                format!("{}?", cells[1])
            } else {
                cells[1].to_owned()
            };
            (cells[0].trim_matches('`').to_owned(), kind)
        });
        sections.insert(name, fields.collect());
    }
    sections
}

/// All paths in a document, with the types found there.
fn paths(value: &Json, path: &str, found: &mut BTreeMap<String, Vec<&'static str>>) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let kind = match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(items) => {
            for item in items {
                paths(item, &format!("{path}[]"), found);
            }
            "array"
        }
        Json::Object(fields) => {
            for (name, value) in fields {
                paths(value, &join(name), found);
            }
            "object"
        }
    };
    if !path.is_empty() {
        found.entry(path.to_owned()).or_default().push(kind);
    }
}

/// Compares documents with a section; `inner` are the paths that another section tells.
fn compare(section: &str, fields: &Fields, documents: &[Json], inner: &[&str]) {
    let mut found = BTreeMap::new();
    for document in documents {
        paths(document, "", &mut found);
    }
    found.retain(|path, _| !inner.iter().any(|inner| path.starts_with(inner) && path != inner));
    for (path, kinds) in &found {
        let told = fields.get(path).unwrap_or_else(|| panic!("{section}: `{path}` is not told"));
        for kind in kinds {
            // A whole number is a number, too.
            let fits = told
                .trim_end_matches('?')
                .split(" or ")
                .any(|told| told == *kind || (told == "number" && *kind == "integer"));
            assert!(fits, "{section}: `{path}` is {kind}, told is {told}");
        }
    }
    for (path, _) in fields.iter().filter(|(_, told)| !told.ends_with('?')) {
        assert!(found.contains_key(path), "{section}: `{path}` is told but not there");
    }
}

#[test]
fn the_json_is_as_documented() {
    let Some((_hosts, mut peer)) = guarded("nftables-multiport") else { return };
    peer.start();
    let sections = sections();
    let line = portcullis_compliance::wrong_password("192.0.2.66");
    peer.append("auth.log", &line.repeat(5));
    peer.wait_log("Ban 192.0.2.66");
    let banned = [
        json(&peer, &["ban", "192.0.2.67", "--for", "1d", "--why", "x"]),
        json(&peer, &["ban", "192.0.2.68", "--for", "forever"]),
    ];
    compare("ban", &sections["ban"], &banned, &[]);
    compare("banned", &sections["banned"], &[json(&peer, &["banned"])], &[]);
    let about = json(&peer, &["banned", "192.0.2.66", "192.0.2.67", "192.0.2.68", "8.8.8.8"]);
    compare("banned ADDRESS", &sections["banned ADDRESS"], &[about], &[]);
    let events = ours(&peer, &["log", "--json"]);
    let events: Vec<Json> = events.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    compare("log", &sections["log"], &events, &[]);
    let top = json(&peer, &["top"]);
    let told_elsewhere = ["status.", "events[].", "jails[].jail", "jails[].currently_banned", "jails[].bans"];
    let mut fields = top.clone();
    fields["jails"][0].as_object_mut().unwrap().retain(|name, _| name == "networks");
    compare("top", &sections["top"], &[fields], &told_elsewhere);
    let jails = serde_json::json!({ "schema": 1, "jails": top["jails"] });
    let mut jails_alone = jails.clone();
    jails_alone["jails"][0].as_object_mut().unwrap().remove("networks");
    compare("banned", &sections["banned"], &[jails_alone], &[]);
    compare("unban", &sections["unban"], &[json(&peer, &["unban", "192.0.2.67", "9.9.9.9"])], &[]);
    let reload = [json(&peer, &["reload"]), {
        peer.write(
            "conf/jail.d/more.local",
            "[more]\nenabled = true\nfilter = dropbear\nlogpath = @DIR@/none.log\n",
        );
        json(&peer, &["reload"])
    }];
    compare("reload", &sections["reload"], &reload, &[]);
    // Something that needs attention.
    std::fs::remove_file(peer.path("auth.log")).unwrap();
    let status = [json(&peer, &["status"]), json(&peer, &["status", "gate"])];
    compare("status", &sections["status"], &status, &[]);
    compare("jails", &sections["jails"], &[json(&peer, &["jails"])], &[]);
    let check = peer.run("portcullis", &["check", "-c", "@DIR@/conf", "--json"]);
    let check = serde_json::from_str(&check.stdout).unwrap();
    peer.write("conf/jail.d/odd.local", "[odd]\nenabled = true\nfilter = nofilter\nmaxretri = 3 # x\n");
    let broken = peer.run("portcullis", &["check", "-c", "@DIR@/conf", "--json"]);
    let broken = serde_json::from_str(&broken.stdout).unwrap();
    std::fs::remove_file(peer.path("conf/jail.d/odd.local")).unwrap();
    compare("check", &sections["check"], &[check, broken], &[]);
    peer.write("auth.log", "");
    let failure = portcullis_compliance::wrong_password("192.0.2.99");
    let nearly = failure.replace("192.0.2.99", "nobody at all");
    let undated = "what is this\n".to_owned();
    peer.write("lines", &[failure.as_str(), &nearly, &undated].concat());
    let explained = [
        json(&peer, &["explain", "--jail", "gate", failure.trim()]),
        json(&peer, &["explain", "--jail", "gate", peer.path("lines").to_str().unwrap()]),
        json(&peer, &["explain", "--jail", "gate", "--offline", failure.trim()]),
        json(&peer, &["explain", "--filter", "dropbear", failure.trim()]),
    ];
    compare("explain", &sections["explain"], &explained, &["lines[].captured."]);
    compare("restart", &sections["restart"], &[json(&peer, &["restart"])], &[]);
    // All that take it are told, and the other way round.
    let told: BTreeSet<&str> = sections.keys().map(|name| name.split(' ').next().unwrap()).collect();
    let help = peer.run("portcullis", &["--help"]).stdout;
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let takes = commands
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| peer.run("portcullis", &[command, "--help"]).stdout.contains("--json"));
    let takes: BTreeSet<&str> = takes.collect();
    assert_eq!(told, takes);
    peer.stop();
}
