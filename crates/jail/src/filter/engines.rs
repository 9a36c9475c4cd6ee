//! Which engine carries which regex, and why not the linear one: for `portcullis check` and the documentation.

use std::sync::Arc;

use super::python::Regex;
use super::rule::Rule;
use super::settings::Filter;

/// A regex of a filter, and what carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// `prefregex`, `failregex` or `ignoreregex`.
    pub option: &'static str,
    /// Its number in the list, from 1.
    pub number: usize,
    /// The regex with its tags written out.
    pub regex: String,
    /// What carries it.
    pub engine: Engine,
}

/// What carries a regex. The reasons are words like `back-reference`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Linear time by an automaton.
    Linear,
    /// The backtracking engine, which never makes a choice twice: linear time too.
    Remembering(Vec<&'static str>),
    /// The backtracking engine under its limit of steps: what a back-reference means depends on how one came to it, so that
    /// there may be too much to remember.
    Limited(Vec<&'static str>),
}

impl Filter {
    /// All regexes with what carries them: prefregex, failregexes, ignoreregexes.
    pub fn engines(&self) -> Vec<Carried> {
        let of = |option: &'static str, rules: &[Arc<Rule>]| -> Vec<Carried> {
            let carried = |(at, rule): (usize, &Arc<Rule>)| Carried {
                option,
                number: at + 1,
                regex: rule.regex.pattern().to_owned(),
                engine: engine(&rule.regex),
            };
            rules.iter().enumerate().map(carried).collect()
        };
        let mut all = of("prefregex", self.prefregex.as_slice());
        all.extend(of("failregex", &self.failregex));
        all.extend(of("ignoreregex", &self.ignoreregex));
        all
    }
}

fn engine(regex: &Regex) -> Engine {
    match regex.obstacles() {
        reasons if reasons.is_empty() => Engine::Linear,
        reasons if regex.remembers() => Engine::Remembering(reasons),
        reasons => Engine::Limited(reasons),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_regex_has_its_engine_and_the_reason() {
        let mut filter = Filter::new();
        for regex in [
            r"^a+ <HOST>$",
            r"^(?!root)\w+ <HOST>$",
            r"^(?P<a>.)(?P=a) <HOST>$",
            r"^(x)?(?(1)y|z) (?>a|b)<HOST>",
        ] {
            filter.add_failregex(regex).unwrap();
        }
        let engines: Vec<Engine> = filter.engines().into_iter().map(|carried| carried.engine).collect();
        assert_eq!(
            engines,
            [
                Engine::Linear,
                Engine::Remembering(vec!["negative look-ahead"]),
                Engine::Limited(vec!["back-reference"]),
                Engine::Remembering(vec!["conditional", "atomic group"]),
            ]
        );
    }
}
