//! All hubs: each message goes to the pipeline of its hub.

use crate::intake::{Pipeline, clean_window};
use crate::{Detector, Error, Settings, builtin};
use engine::Session;
use messages::intake::{Delivery, Intake, NotKept, Refused};
use parking_lot::RwLock;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::broadcast;
use workspace::Workspaces;

/// A reader of alerts may be so many behind.
const ALERTS_MAX: usize = 1024;

/// The front doors' [`Intake`]. Devices of different hubs know nothing of each other, so each hub is judged by itself.
pub struct Fleet {
    workspaces: Workspaces,
    session: Session,
    /// By the hub's name in small letters.
    pipelines: RwLock<HashMap<String, Arc<Pipeline>>>,
    /// The alerts of all hubs, as they are stored: rows of the table of alerts.
    alerts: broadcast::Sender<Value>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
}

impl Fleet {
    /// Without any hub.
    pub fn new(workspaces: Workspaces, session: Session) -> Fleet {
        clean_window(workspaces.clone());
        let (alerts, _) = broadcast::channel(ALERTS_MAX);
        Fleet { workspaces, session, pipelines: RwLock::default(), alerts, changing: tokio::sync::Mutex::default() }
    }

    /// The alerts of all hubs from now on.
    pub fn alerts(&self) -> broadcast::Receiver<Value> {
        self.alerts.subscribe()
    }

    /// Takes messages of a hub from now on, or goes on with other settings.
    pub async fn set(&self, settings: Settings) -> Result<(), Error> {
        let _changing = self.changing.lock().await;
        let key = settings.hub.to_lowercase();
        let known = self.pipelines.read().get(&key).cloned();
        match known {
            Some(pipeline) if *pipeline.settings() == settings => Ok(()),
            Some(pipeline) => pipeline.change(settings).await,
            None => {
                let rules = (builtin::alert_rules()?, builtin::recommendation_rules()?);
                let detector = Detector::new(&self.session, rules.0, rules.1).await?;
                let alerts = self.alerts.clone();
                let started =
                    Pipeline::start(self.workspaces.clone(), self.session.clone(), detector, settings, alerts).await?;
                self.pipelines.write().insert(key, Arc::new(started));
                Ok(())
            }
        }
    }

    /// Takes no more messages of a hub.
    pub fn remove(&self, hub: &str) {
        self.pipelines.write().remove(&hub.to_lowercase());
    }

    fn of(&self, hub: &str) -> Option<Arc<Pipeline>> {
        self.pipelines.read().get(&hub.to_lowercase()).cloned()
    }
}

#[async_trait::async_trait]
impl Intake for Fleet {
    async fn accept(&self, delivery: Delivery) -> Result<(), NotKept> {
        match self.of(&delivery.hub) {
            Some(pipeline) => pipeline.accept(delivery).await,
            None => Err(NotKept::Failed(format!("the hub '{}' is being made or removed", delivery.hub))),
        }
    }

    async fn note_refused(&self, refused: Refused) {
        if let Some(pipeline) = self.of(&refused.hub) {
            pipeline.note_refused(refused).await;
        }
    }
}
