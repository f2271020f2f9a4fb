//! `turnstone query` without a query, on a terminal: a shell.
//!
//! Enter runs what is complete and goes on with what is not: after a pipe, within brackets, after a `let`. Alt-Enter
//! always begins a new line. Lines that are pasted stay together.

use crate::Failure;
use crate::output::{Format, Result as Table};
use kql::token::{Symbol, TokenKind};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{
    Cmd, CompletionType, Config, Context, Editor, Event, EventHandler, Helper, KeyCode, KeyEvent, Modifiers,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

const HISTORY_ENTRIES_MAX: usize = 10_000;
const PROMPT: &str = "kql> ";

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const CYAN: &str = "\x1b[36m";
const FAINT: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// What a shell asks, and what there is to ask about.
pub trait Source {
    /// The results of a query or command, and why rows are missing where they are.
    fn ask(&self, text: &str) -> Result<(Vec<Table>, Option<String>), Failure>;

    /// The tables with their columns, and the functions that are kept, without columns.
    fn names(&self) -> BTreeMap<String, Vec<String>>;
}

/// Reads and runs queries until the user leaves.
pub fn run(source: &dyn Source, format: Format) -> Result<(), Failure> {
    let config = Config::builder()
        .max_history_size(HISTORY_ENTRIES_MAX)
        .map_err(Failure::run)?
        .completion_type(CompletionType::List)
        .auto_add_history(true)
        .bracketed_paste(true)
        .build();
    let mut editor: Editor<KqlHelper, FileHistory> = Editor::with_config(config).map_err(Failure::run)?;
    editor.set_helper(Some(KqlHelper { names: source.names() }));
    editor.bind_sequence(Event::from(KeyEvent(KeyCode::Enter, Modifiers::ALT)), EventHandler::Simple(Cmd::Newline));
    let history = history_file();
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    println!("{FAINT}Enter runs a query, Alt-Enter begins a new line, Tab completes, Ctrl-D leaves.{PLAIN}");
    loop {
        match editor.readline(PROMPT) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) if matches!(text.trim(), "exit" | "quit") => break,
            Ok(text) => {
                show(source, &text, format);
                // A command may have made a table or a function.
                if text.trim_start().starts_with('.')
                    && let Some(helper) = editor.helper_mut()
                {
                    helper.names = source.names();
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(Failure::run(error)),
        }
        if let Some(path) = &history {
            save(&mut editor, path);
        }
    }
    Ok(())
}

fn show(source: &dyn Source, text: &str, format: Format) {
    match source.ask(text) {
        Ok((tables, missing)) => {
            for (i, table) in tables.iter().enumerate() {
                if i > 0 {
                    println!();
                }
                print!("{}", table.print(format));
            }
            if let Some(why) = missing {
                println!("{RED}{why}{PLAIN}");
            }
        }
        Err(failure) => println!("{}", colored(&failure.message)),
    }
}

/// A finding with its first word and its carets in red.
fn colored(message: &str) -> String {
    let line = |line: &str| match line.trim_start_matches([' ', '|']) {
        rest if line.starts_with("error:") || (!rest.is_empty() && rest.bytes().all(|b| b == b'^')) => {
            format!("{RED}{line}{PLAIN}")
        }
        _ => line.to_owned(),
    };
    message.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Where the queries of earlier times are kept: they may name people, so only their owner may read them.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let folder = state.or_else(home)?.join("turnstone");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("query-history"))
}

fn save(editor: &mut Editor<KqlHelper, FileHistory>, path: &PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    if editor.save_history(path).is_ok() {
        let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600));
    }
}

struct KqlHelper {
    names: BTreeMap<String, Vec<String>>,
}

impl Helper for KqlHelper {}

impl Hinter for KqlHelper {
    type Hint = String;
}

/// Whether more must follow: a pipe, a comma or an operator stands at the end, a bracket is open, or there are only
/// statements that return nothing.
fn is_complete(text: &str) -> bool {
    if text.trim_start().starts_with('.') {
        return true;
    }
    let (tokens, _) = kql::lex(text);
    let mut depth = 0i32;
    let mut last = None;
    for token in &tokens {
        match token.kind {
            TokenKind::Symbol(Symbol::OpenParen | Symbol::OpenBracket | Symbol::OpenBrace) => depth += 1,
            TokenKind::Symbol(Symbol::CloseParen | Symbol::CloseBracket | Symbol::CloseBrace) => depth -= 1,
            _ => {}
        }
        if token.kind != TokenKind::EndOfText {
            last = Some(&token.kind);
        }
    }
    let goes_on = matches!(last, Some(TokenKind::Symbol(Symbol::Pipe | Symbol::Comma | Symbol::Equal)));
    let parsed = kql::parse(text);
    let has_query = parsed.script.statements.iter().any(|s| matches!(s, kql::tree::Statement::Query(_)));
    depth <= 0 && !goes_on && (has_query || last.is_none())
}

impl Validator for KqlHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_complete(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Highlighter for KqlHelper {
    fn highlight<'l>(&self, line: &'l str, _at: usize) -> Cow<'l, str> {
        let (tokens, _) = kql::lex(line);
        let mut shown = String::with_capacity(line.len() * 2);
        let mut at = 0;
        let mut follows_pipe = false;
        for token in &tokens {
            // What lies between tokens is blank, or a comment.
            if at < token.span.start {
                shown.extend([FAINT, &line[at..token.span.start], PLAIN]);
            }
            let color = match &token.kind {
                TokenKind::String { .. } => GREEN,
                TokenKind::Symbol(Symbol::Pipe) => BOLD,
                TokenKind::Name if follows_pipe => BOLD,
                TokenKind::Name | TokenKind::Symbol(_) | TokenKind::EndOfText => "",
                _ => CYAN,
            };
            follows_pipe = token.kind == TokenKind::Symbol(Symbol::Pipe);
            shown.push_str(color);
            shown.push_str(&line[token.span.start..token.span.end]);
            shown.push_str(if color.is_empty() { "" } else { PLAIN });
            at = token.span.end;
        }
        shown.push_str(&line[at.min(line.len())..]);
        Cow::Owned(shown)
    }

    fn highlight_char(&self, _line: &str, _at: usize, _kind: CmdKind) -> bool {
        true
    }
}

impl KqlHelper {
    /// What can stand at the end of a text, with where the word begins that it would complete.
    fn candidates(&self, text: &str) -> (usize, Vec<String>) {
        let start = text
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .map_or(0, |i| i + text[i..].chars().next().map_or(1, char::len_utf8));
        let (before, word) = (text[..start].trim_end(), &text[start..]);
        let begins = |name: &str| name.to_lowercase().starts_with(&word.to_lowercase());
        if before.ends_with('|') {
            return (start, kql::operators().filter(|name| begins(name)).map(str::to_owned).collect());
        }
        // A word of a name alone: a dash is a minus.
        let start = text
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_'))
            .map_or(0, |i| i + text[i..].chars().next().map_or(1, char::len_utf8));
        let word = &text[start..];
        let begins = |name: &str| !name.is_empty() && name.to_lowercase().starts_with(&word.to_lowercase());
        let (tokens, _) = kql::lex(text);
        let is_named = |table: &str| tokens.iter().any(|token| token.span.text(text) == table);
        let mut found: Vec<String> = Vec::new();
        let tables = self.names.iter();
        found.extend(tables.clone().filter(|(t, _)| is_named(t)).flat_map(|(_, columns)| columns.iter().cloned()));
        found.extend(tables.map(|(table, _)| table.clone()));
        if !word.is_empty() {
            found.extend(engine::functions::names().map(|name| format!("{name}(")));
        }
        found.retain(|name| begins(name));
        let mut seen = std::collections::HashSet::new();
        found.retain(|name| seen.insert(name.clone()));
        (start, found)
    }
}

impl Completer for KqlHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = self.candidates(&line[..at]);
        let pair = |name: String| Pair { display: name.clone(), replacement: name };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_complete_goes_on() {
        for text in ["T", "T | take 3", "T\n| where a == ')'", "let a = 1; print a", ".show tables", "T | where", ""] {
            assert!(is_complete(text), "{text}");
        }
        for text in ["T |", "let a = 1;", "let f = (x: long) {", "T | extend a = (1 +", "print a,", "T | project x ="] {
            assert!(!is_complete(text), "{text}");
        }
    }

    #[test]
    fn what_can_follow_is_offered() {
        let names = BTreeMap::from([
            ("Logins".to_owned(), vec!["User".to_owned(), "UserId".to_owned()]),
            ("Usage".to_owned(), vec!["Bytes".to_owned()]),
        ]);
        let helper = KqlHelper { names };
        assert_eq!(
            helper.candidates("Log"),
            (0, vec!["Logins".to_owned(), "log(".into(), "log10(".into(), "log2(".into(), "loggamma(".into()])
        );
        assert_eq!(helper.candidates("Logins | where Us").1[..3], ["User", "UserId", "Usage"]);
        assert_eq!(helper.candidates("Logins | project-a"), (9, vec!["project-away".to_owned()]));
        assert!(helper.candidates("Usage | where x == 1 and By").1.contains(&"Bytes".to_owned()));
    }
}
