//! The least schema that admits some dynamic values.
//!
//! As JSON: a type is its name, several types a list of them, a bag a bag of the types of its properties, and an array a
//! bag whose only property, `` `indexer` ``, is the type of its elements. Everything is in order of first appearance.

use crate::json;
use serde_json::Value;
use std::collections::HashMap;

/// The property that stands for the elements of an array.
const ELEMENTS: &str = "`indexer`";

/// The types that were seen at one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// In order of first appearance.
    kinds: Vec<Kind>,
    /// Of bags.
    properties: Vec<(String, Schema)>,
    /// Where a property stands among them.
    places: HashMap<String, usize>,
    /// Of arrays.
    elements: Option<Box<Schema>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Named(String),
    Bag,
    Array,
}

impl Schema {
    /// Memory held, in bytes, about.
    pub fn size(&self) -> usize {
        const PROPERTY_BYTES: usize = 200;
        size_of::<Schema>() + self.properties.len() * PROPERTY_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Widens the schema to admit a value. Null says nothing.
    pub fn admit(&mut self, value: &Value) {
        let name = match value {
            Value::Null => return,
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_f64() => "double",
            Value::Number(_) => "long",
            Value::String(_) => "string",
            Value::Array(items) => {
                let elements = self.elements();
                items.iter().for_each(|item| elements.admit(item));
                return;
            }
            Value::Object(members) => {
                self.see(Kind::Bag);
                for (name, value) in members {
                    self.property(name).admit(value);
                }
                return;
            }
        };
        self.see(Kind::Named(name.to_owned()));
    }

    /// Widens the schema to admit what another does.
    pub fn merge(&mut self, other: &Schema) {
        other.kinds.iter().for_each(|kind| self.see(kind.clone()));
        if let Some(elements) = &other.elements {
            self.elements().merge(elements);
        }
        other.properties.iter().for_each(|(name, schema)| self.property(name).merge(schema));
    }

    pub fn parse(text: &str) -> Option<Schema> {
        Some(Schema::read(&serde_json::from_str(text).ok()?))
    }

    fn read(value: &Value) -> Schema {
        let mut schema = Schema::default();
        let kinds = match value {
            Value::Array(kinds) => kinds.as_slice(),
            one => std::slice::from_ref(one),
        };
        for kind in kinds {
            match kind {
                Value::String(name) => schema.see(Kind::Named(name.clone())),
                Value::Object(members) => match members.get(ELEMENTS) {
                    Some(elements) => schema.elements().merge(&Schema::read(elements)),
                    None => {
                        schema.see(Kind::Bag);
                        members.iter().for_each(|(name, value)| schema.property(name).merge(&Schema::read(value)));
                    }
                },
                _ => {}
            }
        }
        schema
    }

    pub fn print(&self) -> String {
        let kind = |kind: &Kind| match kind {
            Kind::Named(name) => json::quote(name),
            Kind::Array => {
                let elements = self.elements.as_ref().map_or_else(|| "[]".to_owned(), |elements| elements.print());
                json::bag([(ELEMENTS.to_owned(), elements)])
            }
            Kind::Bag => json::bag(self.properties.iter().map(|(name, schema)| (name.clone(), schema.print()))),
        };
        match self.kinds.as_slice() {
            [only] => kind(only),
            several => json::array(several.iter().map(kind)),
        }
    }

    fn see(&mut self, kind: Kind) {
        if !self.kinds.contains(&kind) {
            self.kinds.push(kind);
        }
    }

    fn elements(&mut self) -> &mut Schema {
        self.see(Kind::Array);
        self.elements.get_or_insert_default()
    }

    fn property(&mut self, name: &str) -> &mut Schema {
        let at = match self.places.get(name) {
            Some(at) => *at,
            None => {
                self.places.insert(name.to_owned(), self.properties.len());
                self.properties.push((name.to_owned(), Schema::default()));
                self.properties.len() - 1
            }
        };
        &mut self.properties[at].1
    }
}
