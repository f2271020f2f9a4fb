//! The rules that detection goes by: read, switched on and off for a solution, and tried on their own sample events.

use super::dismissed::OfSolution;
use super::{Body, Params, Path};
use crate::Services;
use crate::azure_error::AzureError;
use crate::management::RULE_OFF;
use crate::requester::Requester;
use access::role::READ_SECURITY;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use detect::builtin;
use detect::content::{AlertRule, RecommendationRule, RuleTest};
use resources::ResourceId;
use resources::solution::{self, Solution};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

/// Changes what a solution looks for.
const WRITE_SECURITY: &str = "Microsoft.Security/iotSecuritySolutions/write";

/// A rule of either kind, with the file that it stands in.
enum Rule {
    Alert(Box<AlertRule>),
    Recommendation(RecommendationRule),
}

struct Known {
    file: &'static str,
    text: &'static str,
    rule: Rule,
}

/// All rules, alerts first. One that cannot be read keeps no server from starting, so it is told in the log alone.
static ALL: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let known = |file: &'static str, text: &'static str, read: Result<Rule, detect::Error>| {
        let rule = read.inspect_err(|error| tracing::error!(%error, "a rule is passed over")).ok()?;
        Some(Known { file, text, rule })
    };
    let alerts = builtin::ALERTS.iter();
    let boxed = |rule| Rule::Alert(Box::new(rule));
    let alerts = alerts.map(|(file, text)| known(file, text, detect::content::read(file, text).map(boxed)));
    let others = builtin::RECOMMENDATIONS.iter();
    let others =
        others.map(|(file, text)| known(file, text, detect::content::read(file, text).map(Rule::Recommendation)));
    alerts.chain(others).flatten().collect()
});

fn find(id: &str) -> Result<&'static Known, AzureError> {
    let found = ALL.iter().find(|known| known.id().eq_ignore_ascii_case(id));
    found.ok_or_else(|| AzureError::not_found("RuleNotFound", format!("there is no rule '{id}'")))
}

/// What is switched off for a solution: ids of alert rules, and names of recommendations.
#[derive(Default)]
struct Off {
    alerts: BTreeSet<String>,
    recommendations: BTreeSet<String>,
}

impl Off {
    async fn of(services: &Services, id: Option<&ResourceId>) -> Result<Off, AzureError> {
        let Some(id) = id else { return Ok(Off::default()) };
        let resource = services.directory.resources.get(id).await?.ok_or_else(|| no_solution(id))?;
        let solution = read(&resource.body)?;
        Ok(Off {
            alerts: services.directory.resources.marked(id, RULE_OFF).await?,
            recommendations: solution.recommendations_off.into_iter().collect(),
        })
    }
}

/// A solution that is kept.
fn read(body: &Value) -> Result<Solution, AzureError> {
    let read = Solution::read(&body["properties"], &crate::management::recommendation_names());
    read.map_err(|problem| AzureError::internal(&problem))
}

fn no_solution(id: &ResourceId) -> AzureError {
    AzureError::not_found("ResourceNotFound", format!("there is no resource '{id}'"))
}

impl Known {
    fn id(&self) -> &str {
        match &self.rule {
            Rule::Alert(rule) => &rule.id,
            Rule::Recommendation(rule) => &rule.name,
        }
    }

    fn is_enabled(&self, off: &Off) -> bool {
        match &self.rule {
            Rule::Alert(rule) => !off.alerts.contains(&rule.id),
            Rule::Recommendation(rule) => !off.recommendations.contains(&rule.name),
        }
    }

    fn described(&self, off: &Off) -> Value {
        let names = |tests: &[RuleTest]| tests.iter().map(|test| json!(test.name)).collect::<Vec<_>>();
        let mut value = match &self.rule {
            Rule::Alert(rule) => json!({
                "kind": "Alert",
                "displayName": rule.name,
                "description": rule.description,
                "severity": rule.severity.name(),
                "alertType": rule.alert_type,
                "tactics": rule.tactics,
                "techniques": rule.relevant_techniques,
                "remediationSteps": rule.remediation_steps,
                "version": rule.version,
                "tests": names(&rule.tests),
            }),
            Rule::Recommendation(rule) => json!({
                "kind": "Recommendation",
                "displayName": rule.display_name,
                "description": rule.description,
                "severity": rule.severity.name(),
                "remediationSteps": rule.remediation_steps,
                "version": rule.version,
                "tests": names(&rule.tests),
            }),
        };
        value["id"] = json!(self.id());
        value["isEnabled"] = json!(self.is_enabled(off));
        value
    }
}

/// A solution, where rules are to be seen as they are for one.
#[derive(Deserialize)]
pub(super) struct MaybeOfSolution {
    #[serde(default)]
    solution: Option<String>,
}

impl MaybeOfSolution {
    fn check(self, services: &Services, requester: &Requester) -> Result<Option<ResourceId>, AzureError> {
        match self.solution {
            Some(solution) => {
                let id = OfSolution { solution }.id()?;
                requester.may(READ_SECURITY, &id.to_string())?;
                Ok(Some(id))
            }
            None => {
                requester.may_below(READ_SECURITY, &services.directory.subscription_id())?;
                Ok(None)
            }
        }
    }
}

pub(super) async fn list(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Params(of): Params<MaybeOfSolution>,
) -> Result<Response, AzureError> {
    let solution = of.check(&services, &requester)?;
    let off = Off::of(&services, solution.as_ref()).await?;
    let value: Vec<Value> = ALL.iter().map(|known| known.described(&off)).collect();
    Ok(Json(json!({ "value": value })).into_response())
}

/// A rule with its text, as its file stands.
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
    Params(of): Params<MaybeOfSolution>,
) -> Result<Response, AzureError> {
    let solution = of.check(&services, &requester)?;
    let known = find(&id)?;
    let mut value = known.described(&Off::of(&services, solution.as_ref()).await?);
    value["query"] = match &known.rule {
        Rule::Alert(rule) => json!(rule.query),
        Rule::Recommendation(rule) => json!(rule.query),
    };
    value["text"] = json!(known.text);
    Ok(Json(value).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    is_enabled: bool,
}

/// Switches a rule on or off, for the hubs of a solution. It is so for what comes from now on.
pub(super) async fn change(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
    Params(of): Params<OfSolution>,
    body: Body,
) -> Result<StatusCode, AzureError> {
    let solution = of.id()?;
    requester.may(WRITE_SECURITY, &solution.to_string())?;
    let change: Change = body.read()?;
    let known = find(&id)?;
    requester.note("rule", known.id());
    requester.note("isEnabled", change.is_enabled);
    let resources = &services.directory.resources;
    let _changing = services.directory.changing.lock().await;
    let mut resource = resources.get(&solution).await?.ok_or_else(|| no_solution(&solution))?;
    // What is looked for on a hub is said by who may say it of the hub.
    for hub in read(&resource.body)?.hubs {
        requester.also_may(WRITE_SECURITY, &hub.to_string())?;
    }
    match &known.rule {
        Rule::Alert(rule) if change.is_enabled => resources.unmark(&solution, RULE_OFF, &rule.id).await?,
        Rule::Alert(rule) => resources.mark(&solution, RULE_OFF, &rule.id).await?,
        Rule::Recommendation(rule) => {
            solution::set_recommendation(&mut resource.body["properties"], &rule.name, change.is_enabled);
            resources.put(&solution, &resource.body).await?;
        }
    }
    services.apply_solutions().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs the sample events of a rule through it.
pub(super) async fn test(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
) -> Result<Response, AzureError> {
    requester.may_below(READ_SECURITY, &services.directory.subscription_id())?;
    let known = find(&id)?;
    let Ok(_turn) = services.bounds.rule_tests.try_acquire() else {
        return Err(AzureError::busy("the tests of another rule run at this moment; try again"));
    };
    // Planning a rule takes a processor for a while, which must not be one that serves devices.
    let running = services.queries.spawn(detect::rule_test::run(known.file, known.text));
    let outcomes = running.await.map_err(|error| AzureError::internal(&error))?;
    let outcomes = outcomes.map_err(|error| AzureError::internal(&error))?;
    let shown = |outcome: detect::rule_test::Outcome| json!({ "name": outcome.test, "passed": outcome.problem.is_none(), "problem": outcome.problem });
    Ok(Json(json!({ "value": outcomes.into_iter().map(shown).collect::<Vec<_>>() })).into_response())
}
