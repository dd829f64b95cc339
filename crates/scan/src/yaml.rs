//! YAML: keys that name a connection, environments of containers, and templates in texts.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use dataflow_model::ConnectionName;
use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::{
    report::{Certainty, Reason},
    settings::{Named, assignment, setting, templates},
};

/// The scanner looks at every open bracket at each word, so that many of them take long.
const DEPTH_MAX: usize = 500;
const LONGEST: Duration = Duration::from_secs(2);
/// Aliases are looked up among so many anchors.
const ANCHORS_MAX: usize = 10_000;

/// A mapping or a sequence while its inside is read.
#[derive(Debug, Default)]
struct Open {
    is_mapping: bool,
    /// Of a mapping: the key whose value comes next; of a sequence: the key that it is the value of.
    key: Option<String>,
    /// `name: SALES_CONN_ID` beside `value: sales`, as Kubernetes writes an environment.
    name: Option<(usize, String)>,
    value: Option<String>,
    /// It is itself a key of what it stands in.
    is_key: bool,
}

/// What is named, and why the file was not read to its end, if it was not.
pub fn read(text: &str) -> (Vec<Named>, Option<Reason>) {
    let plain = without_templates(text);
    if depth(&plain) > DEPTH_MAX {
        return (Vec::new(), Some(Reason::TooSlow));
    }
    let mut reader = Reader { found: templates(text), open: Vec::new(), anchors: HashMap::new() };
    let begun = Instant::now();
    for event in Parser::new_from_str(&plain) {
        match event {
            Ok((event, span)) => reader.take(event, span.start.line().saturating_sub(1)),
            Err(error) => {
                let line = u32::try_from(error.marker().line()).unwrap_or(u32::MAX);
                return (reader.found, Some(Reason::NotYaml { line }));
            }
        }
        if begun.elapsed() > LONGEST {
            return (reader.found, Some(Reason::TooSlow));
        }
    }
    (reader.found, None)
}

struct Reader {
    found: Vec<Named>,
    open: Vec<Open>,
    anchors: HashMap<usize, String>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, row: usize) {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                if anchor > 0 && self.anchors.len() < ANCHORS_MAX {
                    self.anchors.insert(anchor, text.to_string());
                }
                // What looks like a number, a truth or nothing is no text unless it is quoted.
                let is_text = style != ScalarStyle::Plain || !is_typed(&text);
                self.scalar(&text, is_text, row);
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(text) => self.scalar(&text, true, row),
                None => self.no_text(),
            },
            Event::MappingStart(..) => self.begin(true),
            Event::SequenceStart(..) => self.begin(false),
            Event::MappingEnd | Event::SequenceEnd => self.end(),
            _ => {}
        }
    }

    fn begin(&mut self, is_mapping: bool) {
        let around = self.open.last_mut().filter(|open| open.is_mapping);
        let is_key = around.as_ref().is_some_and(|open| open.key.is_none());
        let key = around.and_then(|open| open.key.take()).filter(|_| !is_mapping);
        self.open.push(Open { is_mapping, key, is_key, ..Open::default() });
    }

    fn end(&mut self) {
        let Some(open) = self.open.pop() else { return };
        if let Some((row, key)) = open.name {
            self.setting(&key, &open.value.unwrap_or_default(), row);
        }
        if let Some(around) = self.open.last_mut().filter(|_| open.is_key) {
            around.key = Some(String::new());
        }
    }

    /// A key or a value that is no text.
    fn no_text(&mut self) {
        if let Some(open) = self.open.last_mut().filter(|open| open.is_mapping) {
            open.key = if open.key.is_some() { None } else { Some(String::new()) };
        }
    }

    fn scalar(&mut self, text: &str, is_text: bool, row: usize) {
        let Some(open) = self.open.last_mut() else { return };
        match (open.is_mapping, open.key.take()) {
            (true, None) => open.key = Some(text.to_owned()),
            (true, Some(key)) => {
                match key.as_str() {
                    "name" => open.name = Some((row, text.to_owned())),
                    "value" if is_text => open.value = Some(text.to_owned()),
                    _ => {}
                }
                self.setting(&key, if is_text { text } else { "" }, row);
            }
            (false, key) => {
                open.key.clone_from(&key);
                match (key, assignment(text)) {
                    // `environment: ["SALES_CONN_ID=sales"]`
                    (_, Some((key, value))) => self.setting(key, value, row),
                    (Some(key), None) if is_text && key != "connection" => self.setting(&key, text, row),
                    _ => {}
                }
            }
        }
    }

    fn setting(&mut self, key: &str, value: &str, row: usize) {
        let found: Option<(ConnectionName, Certainty)> = setting(key, value);
        self.found.extend(found.map(|(name, certainty)| (row, name, certainty)));
    }
}

/// Whether a plain word is a truth, a number or nothing (YAML 1.1 and 1.2).
fn is_typed(text: &str) -> bool {
    let words = ["", "~", "null", "true", "false", "yes", "no", "on", "off"];
    words.contains(&text.to_ascii_lowercase().as_str()) || text.parse::<f64>().is_ok()
}

/// How deep brackets nest, at most.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The same lines, and what stands in `{{ … }}` and `{% … %}` made a word that is no name: Helm, Jinja and dbt write files that are
/// YAML only once these are filled in.
fn without_templates(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let is_alone =
            line.trim_start().starts_with("{{") && line.trim_end().ends_with("}}") || line.trim_start().starts_with("{%");
        if is_alone {
            plain.push('\n');
            continue;
        }
        let mut rest = line;
        while let Some((before, inside)) = rest.split_once("{{") {
            let Some((_, after)) = inside.split_once("}}") else { break };
            plain.push_str(before);
            plain.push_str("~~");
            rest = after;
        }
        plain.push_str(rest);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_leave_the_lines_where_they_were() {
        let text = "{{- if .Values.x }}\na: {{ .Values.a }}-{{ b }}\n{%- for x in y %}\nb: 1\n{{- end }}\nc: '{{ open'\n";
        assert_eq!(without_templates(text), "\na: ~~-~~\n\nb: 1\n\nc: '{{ open'\n");
        assert_eq!(read(text).1, None);
    }

    #[test]
    fn words_that_are_no_texts() {
        for word in ["true", "No", "3", "1.5", "null", "~", ""] {
            assert!(is_typed(word), "{word}");
        }
        assert!(!is_typed("sales") && !is_typed("on_call"));
    }
}
