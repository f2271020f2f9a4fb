//! Principals, what they are allowed, and who makes a call.

use crate::role::{Role, holds};

pub(crate) const ADMINISTRATOR_ID: &str = "00000000-0000-0000-0000-000000000000";
pub(crate) const ADMINISTRATOR_NAME: &str = "admin-token";

/// What a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A program, with client secrets.
    ServicePrincipal,
    /// A person with a password here.
    User,
    /// A person whom an outside provider vouches for.
    OutsideUser,
    /// Whoever has the admin token of the data folder: the owner of the tokens that are made with it.
    Administrator,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::ServicePrincipal => "ServicePrincipal",
            Kind::User => "User",
            Kind::OutsideUser => "OutsideUser",
            Kind::Administrator => "Administrator",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Kind> {
        [Kind::ServicePrincipal, Kind::User, Kind::OutsideUser, Kind::Administrator]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// A person or a program.
#[derive(Debug, Clone)]
pub struct Principal {
    /// A GUID.
    pub id: String,
    pub kind: Kind,
    /// What it signs in by: the user's name, the program's application id, the subject at the outside provider.
    pub name: String,
    pub display_name: String,
    /// The provider that vouches for it; empty for those of our own.
    pub issuer: String,
    pub is_enabled: bool,
    pub has_totp: bool,
    /// In ticks.
    pub created_ticks: i64,
}

/// A role of a principal, at a scope.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// A GUID.
    pub id: String,
    pub principal_id: String,
    pub grant: Grant,
    pub created_ticks: i64,
}

/// A role at a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub role: &'static Role,
    /// The beginning of the ids of what it is about.
    pub scope: String,
}

impl Grant {
    pub fn allows(&self, action: &str, resource: &str) -> bool {
        holds(&self.scope, resource) && self.role.allows(action)
    }
}

/// A secret, without the secret.
#[derive(Debug, Clone)]
pub struct SecretInfo {
    pub id: String,
    pub principal_id: String,
    pub name: String,
    pub created_ticks: i64,
    pub expires_ticks: i64,
    /// All that a token is good for, where it is good for less than its owner may do.
    pub limit: Option<Grant>,
}

/// How a caller has shown who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    AdminToken,
    AccessToken,
    PersonalToken,
    Session,
}

impl Means {
    pub fn name(self) -> &'static str {
        match self {
            Means::AdminToken => "AdminToken",
            Means::AccessToken => "AccessToken",
            Means::PersonalToken => "PersonalToken",
            Means::Session => "Session",
        }
    }
}

/// Who makes a call, and what they may do.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The principal's id.
    pub principal_id: String,
    /// As it stands in lists and in the audit.
    pub name: String,
    pub means: Means,
    /// The secret that was shown, by its id; empty for others.
    pub secret_id: String,
    pub(crate) grants: Vec<Grant>,
    pub(crate) limit: Option<Grant>,
}

impl Caller {
    /// Whoever has the admin token of the data folder.
    pub(crate) fn administrator(role: &'static Role) -> Caller {
        Caller {
            principal_id: ADMINISTRATOR_ID.to_owned(),
            name: ADMINISTRATOR_NAME.to_owned(),
            means: Means::AdminToken,
            secret_id: String::new(),
            grants: vec![Grant { role, scope: "/".to_owned() }],
            limit: None,
        }
    }

    /// Whether it may do that to a resource, given by its id.
    pub fn may(&self, action: &str, resource: &str) -> bool {
        self.limit.as_ref().is_none_or(|limit| limit.allows(action, resource))
            && self.grants.iter().any(|grant| grant.allows(action, resource))
    }

    /// Whether it may do that to something at or below `scope`, for lists of which it sees its part.
    pub fn may_somewhere_below(&self, action: &str, scope: &str) -> bool {
        let reaches =
            |grant: &Grant| grant.role.allows(action) && (holds(&grant.scope, scope) || holds(scope, &grant.scope));
        self.limit.as_ref().is_none_or(reaches) && self.grants.iter().any(reaches)
    }

    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Whether it may do all that its principal may.
    pub fn is_unlimited(&self) -> bool {
        self.limit.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::{INGEST, QUERY};

    #[test]
    fn a_limited_token_does_less_than_its_owner() {
        let of = |role: &str, scope: &str| Grant { role: Role::named(role).expect("a role"), scope: scope.to_owned() };
        let mut caller = Caller::administrator(Role::named("Owner").expect("a role"));
        assert!(caller.may(INGEST, "/subscriptions/s/x"));
        caller.limit = Some(of("Log Analytics Reader", "/subscriptions/s"));
        assert!(caller.may(QUERY, "/subscriptions/s/x") && !caller.may(INGEST, "/subscriptions/s/x"));
        assert!(!caller.may(QUERY, "/subscriptions/t"));
        assert!(caller.may_somewhere_below(QUERY, "/") && !caller.may_somewhere_below(QUERY, "/subscriptions/t"));
        caller.grants = vec![of("Owner", "/subscriptions/t")];
        assert!(!caller.may(QUERY, "/subscriptions/s/x"), "not more than its owner either");
    }
}
