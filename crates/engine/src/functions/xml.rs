//! `parse_xml`: a document as a bag.

use super::Kernel;
use kql::Type;
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

/// Elements may stand in each other this deep; a document that goes deeper is null.
const DEPTH_MAX: usize = 100;

/// `parse_xml(text)`: attributes become `@name`, children their names, text `#text`; what repeats becomes an array;
/// an element of nothing but text becomes that text. Null for what is no well-formed document.
pub static PARSE_XML: Kernel = Kernel::new("kql_parse_xml", Type::Dynamic, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| parse(texts.get(i)?).map(|bag| bag.to_string())))
});

/// An element while its end has not been seen.
#[derive(Default)]
struct Element {
    name: String,
    members: Map<String, Value>,
    /// The text since the last child, with its references resolved.
    text: String,
}

impl Element {
    fn open(start: &BytesStart<'_>, reader: &Reader<&[u8]>) -> Option<Element> {
        let name = reader.decoder().decode(start.name().into_inner()).ok()?.into_owned();
        let mut element = Element { name, ..Element::default() };
        for attribute in start.attributes() {
            let attribute = attribute.ok()?;
            let key = reader.decoder().decode(attribute.key.into_inner()).ok()?;
            let value = attribute.decode_and_unescape_value(reader.decoder()).ok()?;
            element.add(&format!("@{key}"), Value::String(value.into_owned()));
        }
        Some(element)
    }

    /// Adds a member; the second of a name makes an array of both.
    fn add(&mut self, name: &str, value: Value) {
        match self.members.get_mut(name) {
            None => {
                self.members.insert(name.to_owned(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }

    /// Ends a run of text. White space between elements is not text.
    fn end_text(&mut self) {
        let text = std::mem::take(&mut self.text);
        if !text.trim().is_empty() {
            self.add("#text", Value::String(text));
        }
    }

    fn close(mut self, is_empty_tag: bool) -> Value {
        self.end_text();
        match self.members.get("#text") {
            None if self.members.is_empty() && is_empty_tag => Value::Null,
            None if self.members.is_empty() => Value::String(String::new()),
            Some(Value::String(text)) if self.members.len() == 1 => Value::String(text.clone()),
            _ => Value::Object(self.members),
        }
    }
}

fn parse(text: &str) -> Option<Value> {
    let mut reader = Reader::from_str(text.trim_start());
    // The document itself is the outermost element; it holds one root.
    let mut open = vec![Element::default()];
    let mut roots = 0;
    loop {
        let event = reader.read_event().ok()?;
        let depth = open.len();
        let current = open.last_mut()?;
        match event {
            Event::Start(start) => {
                current.end_text();
                if depth > DEPTH_MAX {
                    return None;
                }
                open.push(Element::open(&start, &reader)?);
            }
            Event::Empty(start) => {
                current.end_text();
                let element = Element::open(&start, &reader)?;
                roots += usize::from(depth == 1);
                current.add(&element.name.clone(), element.close(true));
            }
            Event::End(_) => {
                let element = open.pop()?;
                let parent = open.last_mut()?;
                roots += usize::from(depth == 2);
                parent.add(&element.name.clone(), element.close(false));
            }
            Event::Text(text) => current.text.push_str(&text.decode().ok()?),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(char) => current.text.push(char),
                None => current.text.push_str(resolve_xml_entity(&reference.decode().ok()?)?),
            },
            Event::CData(data) => {
                current.end_text();
                let data = data.decode().ok()?.into_owned();
                current.add("#cdata-section", Value::String(data));
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    let document = open.pop()?;
    let is_whole = open.is_empty() && roots == 1 && document.members.len() == 1 && document.text.trim().is_empty();
    is_whole.then_some(Value::Object(document.members))
}
