//! Ingestion mappings: which column takes its values from where in a record.
//!
//! A mapping is a JSON list of objects with a column's name and, in `Properties` or beside it, a `Path` (for JSON, Parquet
//! and Avro, `$.a.b[0]['c d']`), a `Field` (for Avro), an `Ordinal` (for CSV, from 0) or a `ConstValue`. Names are taken without regard to case.

use engine::Column;
use serde_json::{Map, Value};

/// What fills each column of a table, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping(pub(super) Vec<Source>);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    /// Nothing does.
    None,
    Constant(String),
    Field(usize),
    /// An empty path is the whole record.
    Path(Vec<Step>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Member(String),
    /// From the end, where it is negative.
    Item(i64),
}

impl Mapping {
    /// Reads a mapping for the kind `json`, `parquet`, `avro` or `csv`. The error says what is wrong with it. Columns that the table does
    /// not have are passed over.
    pub fn parse(columns: &[Column], kind: &str, text: &str) -> Result<Mapping, String> {
        let entries: Vec<Map<String, Value>> =
            serde_json::from_str(text).map_err(|e| format!("the mapping is no JSON list of objects: {e}"))?;
        let mut sources = vec![Source::None; columns.len()];
        for entry in &entries {
            let properties = member(entry, "properties").and_then(Value::as_object);
            let property = |name: &str| properties.and_then(|p| member(p, name)).or_else(|| member(entry, name));
            let name = ["column", "name", "columnname"].iter().find_map(|n| member(entry, n)?.as_str());
            let name = name.ok_or("an entry of the mapping names no column")?;
            if let Some(transform) = property("transform").and_then(Value::as_str).filter(|t| *t != "None") {
                return Err(format!("the transform '{transform}' of the column '{name}' is not supported"));
            }
            let source = match (property("constvalue"), property("path"), property("ordinal")) {
                (Some(value), _, _) => {
                    Source::Constant(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                }
                (_, Some(path), _) if kind != "csv" => {
                    let path = path.as_str().unwrap_or_default();
                    Source::Path(steps(path).ok_or_else(|| format!("'{path}' is no path: write it like $.a.b[0]"))?)
                }
                (_, _, Some(place)) if kind == "csv" => {
                    let place = place.as_u64().or_else(|| place.as_str()?.parse().ok());
                    Source::Field(place.and_then(|p| usize::try_from(p).ok()).ok_or("an ordinal is no number")?)
                }
                _ if kind != "csv" && property("field").is_some() => {
                    let field = property("field").and_then(Value::as_str).unwrap_or_default();
                    Source::Path(vec![Step::Member(field.to_owned())])
                }
                _ if kind != "csv" => return Err(format!("the column '{name}' has no Path and no ConstValue")),
                _ => return Err(format!("the column '{name}' has no Ordinal and no ConstValue")),
            };
            if let Some(at) = columns.iter().position(|c| c.name == name) {
                sources[at] = source;
            }
        }
        Ok(Mapping(sources))
    }

    /// The member of a record that each column is, where that is all that the mapping says.
    pub(super) fn members(&self) -> Option<Vec<Option<&str>>> {
        let members = self.0.iter().map(|source| match source {
            Source::None => Some(None),
            Source::Path(steps) => match steps.as_slice() {
                [Step::Member(name)] => Some(Some(name.as_str())),
                _ => None,
            },
            _ => None,
        });
        members.collect()
    }
}

impl Source {
    pub fn value(&self, record: &Value) -> Option<Value> {
        match self {
            Source::Constant(text) => Some(Value::String(text.clone())),
            Source::Path(steps) => {
                let mut value = record;
                for step in steps {
                    value = match step {
                        Step::Member(name) => value.get(name)?,
                        Step::Item(place) => {
                            let items = value.as_array()?;
                            let from_end = || usize::try_from(place.unsigned_abs()).ok();
                            let at = match usize::try_from(*place) {
                                Ok(at) => at,
                                Err(_) => items.len().checked_sub(from_end()?)?,
                            };
                            items.get(at)?
                        }
                    };
                }
                Some(value.clone())
            }
            Source::None | Source::Field(_) => None,
        }
    }
}

fn member<'m>(object: &'m Map<String, Value>, name: &str) -> Option<&'m Value> {
    object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The steps of `$.a['b'][0]`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix('.') {
            let end = behind.find(['.', '[']).unwrap_or(behind.len());
            steps.push(Step::Member(behind[..end].to_owned()).filled()?);
            rest = &behind[end..];
        } else {
            let behind = rest.strip_prefix('[')?;
            if let Some(quote) = behind.chars().next().filter(|c| matches!(c, '\'' | '"')) {
                let (name, after) = behind[1..].split_once(quote)?;
                steps.push(Step::Member(name.to_owned()).filled()?);
                rest = after.strip_prefix(']')?;
            } else {
                let (place, after) = behind.split_once(']')?;
                steps.push(Step::Item(place.trim().parse().ok()?));
                rest = after;
            }
        }
    }
    Some(steps)
}

impl Step {
    fn filled(self) -> Option<Step> {
        Some(self).filter(|step| *step != Step::Member(String::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kql::Type;
    use serde_json::json;

    #[test]
    fn paths_are_followed() {
        let record = json!({"a": {"b c": [1, {"d": "x"}]}, "e": null});
        for (path, wanted) in [
            ("$.a['b c'][1].d", Some(json!("x"))),
            ("$[\"a\"]['b c'][-2]", Some(json!(1))),
            ("$.a['b c'][-3]", None),
            ("$.e", Some(Value::Null)),
            ("$.e.f", None),
            ("$", Some(record.clone())),
        ] {
            assert_eq!(Source::Path(steps(path).expect(path)).value(&record), wanted, "{path}");
        }
        for bad in ["a", "$.", "$a", "$.a[", "$[x]", "$['a'"] {
            assert_eq!(steps(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_mapping_is_said() {
        let columns = [Column::new("A", Type::Long)];
        for (text, wanted) in [
            ("{}", "no JSON list"),
            (r#"[{"path":"$.a"}]"#, "names no column"),
            (r#"[{"column":"A"}]"#, "has no Path"),
            (r#"[{"column":"A","path":"a"}]"#, "'a' is no path"),
            (r#"[{"column":"A","Properties":{"Path":"$.a","Transform":"SourceLocation"}}]"#, "'SourceLocation'"),
        ] {
            let error = Mapping::parse(&columns, "json", text).expect_err(text);
            assert!(error.contains(wanted), "{error}");
        }
    }
}
