//! Resource ids: `/subscriptions/{s}/resourceGroups/{g}/providers/{namespace}/{type}/{name}`, and those of resources
//! below others, which go on with `/{type}/{name}`.

use std::fmt;

/// The id of a resource. Ids compare without regard to case and are shown as they were given.
#[derive(Debug, Clone)]
pub struct ResourceId {
    pub subscription: String,
    pub group: String,
    /// `Microsoft.Insights`.
    pub namespace: String,
    /// Type and name of each resource that it is below, from the top.
    pub parents: Vec<(String, String)>,
    /// `dataCollectionRules`.
    pub kind: String,
    pub name: String,
}

impl ResourceId {
    /// Reads an id, with or without a slash before it; `None` for anything else.
    pub fn parse(text: &str) -> Option<ResourceId> {
        let parts: Vec<&str> = text.trim_matches('/').split('/').collect();
        let [subscriptions, subscription, groups, group, providers, namespace, rest @ ..] = parts.as_slice() else {
            return None;
        };
        let are_words = subscriptions.eq_ignore_ascii_case("subscriptions")
            && groups.eq_ignore_ascii_case("resourceGroups")
            && providers.eq_ignore_ascii_case("providers");
        if !are_words || rest.is_empty() || rest.len() % 2 != 0 || parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        let mut steps: Vec<(String, String)> =
            rest.chunks_exact(2).map(|step| (step[0].to_owned(), step[1].to_owned())).collect();
        let (kind, name) = steps.pop()?;
        Some(ResourceId {
            subscription: (*subscription).to_owned(),
            group: (*group).to_owned(),
            namespace: (*namespace).to_owned(),
            parents: steps,
            kind,
            name,
        })
    }

    /// The id of a resource of a type, `Microsoft.Insights/dataCollectionRules`, in a group.
    pub fn new(subscription: &str, group: &str, of: &str, name: &str) -> ResourceId {
        let (namespace, kind) = of.split_once('/').unwrap_or((of, ""));
        ResourceId {
            subscription: subscription.to_owned(),
            group: group.to_owned(),
            namespace: namespace.to_owned(),
            parents: Vec::new(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The id of a resource below this one.
    pub fn child(&self, kind: &str, name: &str) -> ResourceId {
        let mut parents = self.parents.clone();
        parents.push((self.kind.clone(), self.name.clone()));
        ResourceId { parents, kind: kind.to_owned(), name: name.to_owned(), ..self.clone() }
    }

    /// The id of its resource group.
    pub fn group_id(&self) -> String {
        group_id(&self.subscription, &self.group)
    }

    /// Whether it is of a type, `Microsoft.Insights/dataCollectionRules`.
    pub fn is_of(&self, of: &str) -> bool {
        of.eq_ignore_ascii_case(&self.type_name())
    }

    pub fn type_name(&self) -> String {
        let parents: String = self.parents.iter().map(|(kind, _)| format!("{kind}/")).collect();
        format!("{}/{parents}{}", self.namespace, self.kind)
    }

    /// Whether both are the same id.
    pub fn is(&self, other: &ResourceId) -> bool {
        self.key() == other.key()
    }

    /// The id as it is compared.
    pub(crate) fn key(&self) -> String {
        self.to_string().to_lowercase()
    }
}

/// The id of a resource group.
pub fn group_id(subscription: &str, group: &str) -> String {
    format!("/subscriptions/{subscription}/resourceGroups/{group}")
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/providers/{}", self.group_id(), self.namespace)?;
        for (kind, name) in &self.parents {
            write!(f, "/{kind}/{name}")?;
        }
        write!(f, "/{}/{}", self.kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_any_case() {
        let text = "/Subscriptions/s/resourcegroups/G/providers/microsoft.insights/datacollectionrules/Rule";
        let id = ResourceId::parse(text).expect("an id");
        assert!(id.is_of("Microsoft.Insights/dataCollectionRules"));
        assert_eq!(
            id.to_string(),
            "/subscriptions/s/resourceGroups/G/providers/microsoft.insights/datacollectionrules/Rule"
        );
        for bad in ["", "/subscriptions/s", "/subscriptions/s/resourceGroups//providers/a/b/c", &format!("{text}/more")]
        {
            assert!(ResourceId::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn resources_are_below_others() {
        let workspace = ResourceId::new("s", "g", "Microsoft.OperationalInsights/workspaces", "w");
        let saved = workspace.child("savedSearches", "q");
        let text =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/w/savedSearches/q";
        assert_eq!(saved.to_string(), text);
        let read = ResourceId::parse(text).expect("an id");
        assert!(read.is(&saved) && read.is_of("Microsoft.OperationalInsights/workspaces/savedSearches"));
        assert_eq!(read.parents, [("workspaces".to_owned(), "w".to_owned())]);
    }
}
