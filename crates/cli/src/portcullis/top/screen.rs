//! The screen of `portcullis top`, at any size.

use portcullis_value::Value;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Sparkline, Table, Wrap};

use super::state::{Over, State};
use crate::portcullis::answer::{field, is, list, number, seconds, text};
use crate::portcullis::banned::facts;
use crate::portcullis::human::{ago, clock, count, ends, now};
use crate::portcullis::jails::sum;
use crate::portcullis::{log, plain, span};
use crate::status::Health;

/// Keys and what they do.
const KEYS: [(&str, &str); 9] = [
    ("↑ ↓ j k", "choose a ban (also PgUp, PgDn, Home, End)"),
    ("Enter l", "everything about the chosen one: when, why, by which lines, in force?"),
    ("u Del", "lift the chosen ban (asks first)"),
    ("Tab", "the bans of one jail after the other, then of all"),
    ("r", "look at once"),
    ("? h", "this help"),
    ("Esc", "back; quit"),
    ("q Ctrl-C", "quit"),
    ("", "Rates are of the last minute; networks are /24 and /48."),
];

/// Colours, unless nobody wants them (<https://no-color.org>).
fn colour(colour: Color) -> Style {
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        Style::new()
    } else {
        Style::new().fg(colour)
    }
}

fn good() -> Style {
    colour(Color::Green)
}

fn bad() -> Style {
    colour(Color::Red).add_modifier(Modifier::BOLD)
}

fn note() -> Style {
    colour(Color::Yellow)
}

fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// Draws everything. What has no room is left out, from the bottom.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let health = Health::of(&state.report, None);
    let area = frame.area();
    let jails = (list(&state.report, "jails").len() as u16).saturating_add(3).min((area.height / 3).max(4));
    let alarms: Vec<&String> = state.trouble.iter().chain(&health.attention).collect();
    let attention = (alarms.len() as u16).min(4);
    let events = if area.height >= 24 { (area.height / 4).max(5) } else { 0 };
    let [head, below_head, upper, middle, lower, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(attention),
        Constraint::Length(jails),
        Constraint::Min(3),
        Constraint::Length(events),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_head(frame, head, state, &health);
    let alarm = |text: &String| Line::from(vec![Span::styled("! ", bad()), Span::raw(plain(text))]);
    let alarms: Vec<Line<'_>> = alarms.into_iter().map(alarm).collect();
    frame.render_widget(Paragraph::new(alarms), below_head);
    draw_jails(frame, upper, state);
    // The list of bans is what keys work on: it has what room there is.
    let wide = area.width >= 90;
    let [left, right] =
        Layout::horizontal([Constraint::Min(20), Constraint::Length(if wide { 30 } else { 0 })])
            .areas(middle);
    draw_bans(frame, left, state);
    if wide {
        draw_networks(frame, right, state);
    }
    draw_events(frame, lower, state);
    draw_foot(frame, foot, state);
    match &state.over {
        Over::Nothing => {}
        Over::Help => draw_help(frame),
        Over::Confirm { address, jail } => {
            let ask = vec![
                Line::from(vec![
                    Span::raw("Lift the ban of "),
                    Span::styled(plain(address), strong()),
                    Span::raw(format!(" in {}?", plain(jail))),
                ]),
                Line::default(),
                Line::styled("y  yes        any other key  no", faint()),
            ];
            popup(frame, "Unban", ask, 0);
        }
        Over::About { address, known, scroll } => {
            let lines = known.as_ref().map_or_else(|| vec![Line::raw("…")], about);
            popup(frame, &plain(address), lines, *scroll);
        }
    }
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, state: &State, health: &Health) {
    let report = &state.report;
    let banned: i64 = list(report, "jails").iter().map(|jail| number(jail, "currently_banned")).sum();
    let up = seconds(report, "started").map(|started| span(now() - started)).unwrap_or_default();
    let dry = if is(report, "dry_run") { ", dry run: NOBODY IS BANNED" } else { "" };
    let (mark, style, words) = match (&state.trouble, health.attention.len()) {
        (Some(_), _) => ("✗", bad(), "no answer, trying again".to_owned()),
        (None, 0) => ("●", good(), "all is well".to_owned()),
        (None, problems) => ("✗", bad(), format!("{} to look at", count(problems as i64, "thing"))),
    };
    let line = Line::from(vec![
        Span::styled(format!("Portcullis {}", text(report, "version")), strong()),
        Span::raw(format!(" up {up}{dry}  ")),
        Span::raw(format!("{}  ", count(banned, "ban"))),
        Span::styled(format!("{mark} {}", plain(&words)), style),
    ]);
    let [left, graph, right] =
        Layout::horizontal([Constraint::Min(20), Constraint::Length(20), Constraint::Length(9)]).areas(area);
    let roomy = area.width >= 100;
    frame.render_widget(Paragraph::new(line), if roomy { left } else { area });
    if roomy {
        frame.render_widget(Sparkline::default().data(state.failures()).style(note()), graph);
        frame.render_widget(Paragraph::new(format!(" {}", clock(now(), now()))).style(faint()), right);
    }
}

fn heading(names: &[&'static str]) -> Row<'static> {
    names.iter().map(|name| Cell::from(*name)).collect::<Row<'_>>().style(faint())
}

fn draw_jails(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let jails = list(&state.report, "jails");
    // In a narrow terminal, what matters least goes.
    let columns = if area.width < 76 { 5 } else { 7 };
    let rows = jails.iter().map(|jail| {
        let name = text(jail, "name");
        let rate = state.rate(name);
        let health = Health::of(&state.report, Some(name));
        let (word, _) = crate::portcullis::jails::state(jail, &health);
        let style = match word {
            "well" => good(),
            "idle" => note(),
            _ => bad(),
        };
        let failed = sum(jail, "failed");
        let enforced = match failed {
            0 => Cell::from(sum(jail, "enforced").to_string()),
            failed => Cell::from(format!("{} ({failed} NOT)", sum(jail, "enforced"))).style(bad()),
        };
        let name_style = if state.jail.as_deref() == Some(name) {
            strong().add_modifier(Modifier::UNDERLINED)
        } else {
            strong()
        };
        let cells = [
            Cell::from(plain(name)).style(name_style),
            Cell::from(word).style(style),
            Cell::from(number(jail, "currently_banned").to_string()),
            enforced,
            Cell::from(number(jail, "currently_failed").to_string()),
            Cell::from(format!("{:.1}", rate.failures)),
            Cell::from(format!("{:.1}", rate.bans)),
        ];
        Row::new(cells.into_iter().take(columns))
    });
    let widths = [
        Constraint::Min(10),
        Constraint::Length(9),
        Constraint::Length(6),
        Constraint::Length(14),
        Constraint::Length(6),
        Constraint::Length(8),
        Constraint::Length(8),
    ];
    let names = ["JAIL", "STATE", "BANNED", "ENFORCED", "FAILED", "FAIL/min", "BANS/min"];
    let table = Table::new(rows, widths.into_iter().take(columns))
        .header(heading(&names[..columns]))
        .block(titled("Jails"));
    frame.render_widget(table, area);
}

fn draw_bans(frame: &mut Frame<'_>, area: Rect, state: &mut State) {
    let now = now();
    let (narrow, tiny) = (area.width < 64, area.width < 50);
    let rows: Vec<Row<'_>> = state
        .shown()
        .into_iter()
        .map(|row| {
            let ban = &row.ban;
            let why = match (field(ban, "why").as_str(), number(ban, "failures")) {
                (Some(why), _) => plain(why),
                (None, 0) => "by hand".to_owned(),
                (None, failures) => count(failures, "failure"),
            };
            let mut cells = vec![
                Cell::from(plain(text(ban, "address"))).style(strong()),
                Cell::from(plain(&row.jail)),
                Cell::from(ends(seconds(ban, "end"), now)),
            ];
            if !tiny {
                cells.push(Cell::from(why));
            }
            if !narrow {
                cells.insert(2, Cell::from(ago(now - seconds(ban, "begin").unwrap_or(now))));
            }
            Row::new(cells)
        })
        .collect();
    let title = match &state.jail {
        None => format!("Newest bans ({})", rows.len()),
        Some(jail) => format!("Newest bans of {} ({})", plain(jail), rows.len()),
    };
    let (widths, names) = if tiny {
        (
            vec![Constraint::Min(15), Constraint::Length(8), Constraint::Length(10)],
            &["ADDRESS", "JAIL", "ENDS"][..],
        )
    } else if narrow {
        let widths =
            [Constraint::Min(18), Constraint::Length(10), Constraint::Length(10), Constraint::Length(12)];
        (widths.to_vec(), &["ADDRESS", "JAIL", "ENDS", "WHY"][..])
    } else {
        let widths = [24, 10, 12, 11].map(Constraint::Length);
        let widths = widths.into_iter().chain([Constraint::Min(8)]).collect();
        (widths, &["ADDRESS", "JAIL", "BANNED", "ENDS", "WHY"][..])
    };
    let table = Table::new(rows, widths)
        .header(heading(names))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(titled(&title));
    frame.render_stateful_widget(table, area, &mut state.chosen);
}

fn draw_networks(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let rows = state
        .networks
        .iter()
        .map(|(network, bans)| Row::new([Cell::from(network.clone()), Cell::from(bans.to_string())]));
    let table = Table::new(rows, [Constraint::Min(10), Constraint::Length(7)])
        .header(heading(&["NETWORK", "BANS"]))
        .block(titled("Worst networks"));
    frame.render_widget(table, area);
}

fn draw_events(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let now = now();
    let room = usize::from(area.height.saturating_sub(2));
    let lines = state.events.iter().skip(state.events.len().saturating_sub(room)).map(|event| {
        let text = anstream::adapter::strip_str(&log::line(event, now)).to_string();
        let style = match self::text(event, "kind") {
            "failed" | "error" => bad(),
            "ban" | "warning" | "would-ban" => note(),
            _ => Style::new(),
        };
        Line::styled(text, style)
    });
    let lines: Vec<Line<'_>> = lines.collect();
    frame.render_widget(Paragraph::new(lines).block(titled("What happens")), area);
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let line = match state.said() {
        Some(said) => Line::styled(plain(said), good()),
        None => Line::styled("q quit  ? help  ↑↓ choose  Enter lines  u unban  Tab jail", faint()),
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn draw_help(frame: &mut Frame<'_>) {
    let line = |(keys, what): (&str, &str)| {
        Line::from(vec![Span::styled(format!("{keys:<10}"), strong()), Span::raw(what.to_owned())])
    };
    popup(frame, "Keys", KEYS.into_iter().map(line).collect(), 0);
}

/// Everything about an address.
fn about(known: &Value) -> Vec<Line<'static>> {
    let bans = list(known, "bans");
    if bans.is_empty() {
        return vec![Line::raw("is not banned any more")];
    }
    let address = text(known, "address");
    let mut lines = Vec::new();
    for ban in bans {
        let (_, _, state) = crate::portcullis::ban::enforcement(ban);
        lines.push(Line::styled(plain(text(ban, "jail")), strong()));
        for (name, value) in facts(address, ban, now()) {
            lines.push(Line::from(vec![
                Span::styled(format!("  {name:<9}"), faint()),
                Span::styled(plain(&value), if value == state { good_or_bad(ban) } else { Style::new() }),
            ]));
        }
    }
    lines
}

fn good_or_bad(ban: &Value) -> Style {
    match text(ban, "enforcement") {
        "enforced" => good(),
        "unverified" | "pending" => note(),
        _ => bad(),
    }
}

fn titled(title: &str) -> Block<'static> {
    Block::bordered().title(format!(" {title} ")).border_style(faint())
}

/// A box in the middle, as large as its text or as the screen.
fn popup(frame: &mut Frame<'_>, title: &str, lines: Vec<Line<'_>>, scroll: u16) {
    let screen = frame.area();
    let widest = lines.iter().map(Line::width).max().unwrap_or(0) as u16;
    let width = widest.max(title.len() as u16 + 2).saturating_add(4).min(screen.width);
    let inner = usize::from(width.saturating_sub(4)).max(1);
    let wrapped: usize = lines.iter().map(|line| line.width().div_ceil(inner).max(1)).sum();
    let height = (wrapped as u16).saturating_add(2).min(screen.height);
    let area = Rect { x: (screen.width - width) / 2, y: (screen.height - height) / 2, width, height };
    // One may scroll until the last line is seen.
    let scroll = scroll.min((wrapped as u16).saturating_add(2).saturating_sub(height));
    let text = Paragraph::new(lines)
        .wrap(Wrap { trim: false })
        .scroll((scroll, 0))
        .block(titled(title).padding(ratatui::widgets::Padding::horizontal(1)));
    frame.render_widget(Clear, area);
    frame.render_widget(text, area);
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::asking::Snapshot;
    use super::*;

    fn dict(items: Vec<(&str, Value)>) -> Value {
        Value::Dict(items.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    fn state() -> State {
        let action =
            dict(vec![("name", "nft".into()), ("enforced", Value::Int(1)), ("failed", Value::Int(1))]);
        let jail = dict(vec![
            ("name", "sshd".into()),
            ("started", true.into()),
            ("currently_banned", Value::Int(2)),
            ("actions", Value::List(vec![action])),
        ]);
        let ban = dict(vec![("address", "2001:db8::7".into()), ("why", "\u{1b}[31m日本語".into())]);
        let bans = dict(vec![("jail", "sshd".into()), ("bans", Value::List(vec![ban]))]);
        let event = dict(vec![("kind", "failed".into()), ("text", "no such table".into())]);
        State::new(Snapshot {
            report: dict(vec![("version", "0.1.0".into()), ("jails", Value::List(vec![jail]))]),
            bans: Value::List(vec![bans]),
            events: vec![event],
            taken: Instant::now(),
        })
    }

    fn drawn(state: &mut State, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn what_is_not_enforced_is_seen_at_once() {
        let screen = drawn(&mut state(), 100, 30);
        for text in ["sshd", "1 (1 NOT)", "2001:db8::7", "NOT enforced", "no such table", "Worst networks"] {
            assert!(screen.contains(text), "no {text}:\n{screen}");
        }
        assert!(!screen.contains('\u{1b}'), "{screen}");
    }

    #[test]
    fn no_size_is_too_small_and_no_box_too_large() {
        for (width, height) in [(1, 1), (2, 5), (10, 3), (40, 10), (80, 24), (300, 100)] {
            let mut state = state();
            drawn(&mut state, width, height);
            state.over = Over::Help;
            drawn(&mut state, width, height);
            state.over = Over::Confirm { address: "2001:db8::7".into(), jail: "sshd".into() };
            drawn(&mut state, width, height);
            let known =
                Some(dict(vec![("bans", Value::List(vec![dict(vec![("jail", "x".repeat(500).into())])]))]));
            state.over = Over::About { address: "x".repeat(400), known, scroll: 9999 };
            drawn(&mut state, width, height);
        }
    }
}
