//! Resource ids: `/subscriptions/{s}/resourceGroups/{g}/providers/{namespace}/{type}/{name}`.

use std::fmt;

/// The id of a resource. Ids compare without regard to case and are shown as they were given.
#[derive(Debug, Clone)]
pub struct ResourceId {
    pub subscription: String,
    pub group: String,
    /// `Microsoft.Insights`.
    pub namespace: String,
    /// `dataCollectionRules`.
    pub kind: String,
    pub name: String,
}

impl ResourceId {
    /// Reads an id, with or without a slash before it; `None` for anything else.
    pub fn parse(text: &str) -> Option<ResourceId> {
        let parts: Vec<&str> = text.trim_matches('/').split('/').collect();
        let [subscriptions, subscription, groups, group, providers, namespace, kind, name] = parts.as_slice() else {
            return None;
        };
        let are_words = subscriptions.eq_ignore_ascii_case("subscriptions")
            && groups.eq_ignore_ascii_case("resourceGroups")
            && providers.eq_ignore_ascii_case("providers");
        let is_filled = [subscription, group, namespace, kind, name].iter().all(|part| !part.is_empty());
        let owned = |part: &str| part.to_owned();
        (are_words && is_filled).then(|| ResourceId {
            subscription: owned(subscription),
            group: owned(group),
            namespace: owned(namespace),
            kind: owned(kind),
            name: owned(name),
        })
    }

    /// Whether it is of a type, `Microsoft.Insights/dataCollectionRules`.
    pub fn is_of(&self, of: &str) -> bool {
        of.eq_ignore_ascii_case(&self.type_name())
    }

    pub fn type_name(&self) -> String {
        format!("{}/{}", self.namespace, self.kind)
    }

    /// The id as it is compared.
    pub(crate) fn key(&self) -> String {
        self.to_string().to_lowercase()
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ResourceId { subscription, group, namespace, kind, name } = self;
        write!(f, "/subscriptions/{subscription}/resourceGroups/{group}/providers/{namespace}/{kind}/{name}")
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
}
