//! The watch of a kind whose definition may be newer than this operator: an object that it can't read must not keep it
//! from reading all others. It stays what it was when it could be read, for its proxies serve by that.

use std::{collections::BTreeSet, fmt::Debug, future::ready, sync::Arc};

use futures::StreamExt as _;
use kube::{
    Api, Client, Resource,
    core::DeserializeGuard,
    runtime::{
        reflector::{self, ObjectRef, Store},
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::{ObjectName, cluster::follow};
use crate::metrics::{Metrics, OfKind};

/// A store of those that can be read.
pub fn reflect<K>(client: &Client, changed: &Arc<Notify>, metrics: &Arc<Metrics>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let mut reading = Reading { store: store.clone(), metrics: metrics.clone(), unreadable: BTreeSet::new() };
    let events = watcher(Api::<DeserializeGuard<K>>::all(client.clone()), watcher::Config::default());
    let events = events.filter_map(move |event| ready(event.map(|event| reading.read(event)).transpose()));
    tokio::spawn(follow(events, writer, changed.clone(), metrics.clone()));
    store
}

struct Reading<K: Resource<DynamicType = ()> + 'static> {
    store: Store<K>,
    metrics: Arc<Metrics>,
    unreadable: BTreeSet<ObjectName>,
}

impl<K: Resource<DynamicType = ()> + Clone> Reading<K> {
    fn read(&mut self, event: Event<DeserializeGuard<K>>) -> Option<Event<K>> {
        let event = match event {
            Event::Init => {
                self.unreadable.clear();
                Some(Event::Init)
            }
            Event::InitDone => Some(Event::InitDone),
            // A listing replaces all that the store holds.
            Event::InitApply(object) => {
                let before = self.before(&object);
                self.object(object).or(before).map(Event::InitApply)
            }
            Event::Apply(object) => self.object(object).map(Event::Apply),
            Event::Delete(object) => {
                self.unreadable.remove(&ObjectName::of(&object));
                let before = self.before(&object);
                object.0.ok().or(before).map(Event::Delete)
            }
        };
        let kind = OfKind { kind: K::kind(&()).into_owned() };
        let count = i64::try_from(self.unreadable.len()).unwrap_or(i64::MAX);
        self.metrics.unreadable_objects.get_or_create(&kind).set(count);
        event
    }

    fn object(&mut self, DeserializeGuard(object): DeserializeGuard<K>) -> Option<K> {
        match object {
            Ok(object) => {
                self.unreadable.remove(&ObjectName::of(&object));
                Some(object)
            }
            Err(invalid) => {
                let name = ObjectName::new(
                    invalid.metadata.namespace.as_deref().unwrap_or_default(),
                    invalid.metadata.name.as_deref().unwrap_or_default(),
                );
                tracing::error!(kind = %K::kind(&()), object = %name, error = invalid.error,
                    "an object can't be read by this version, and what could be read of it before stays in force: upgrade the operator");
                self.unreadable.insert(name);
                None
            }
        }
    }

    fn before(&self, object: &DeserializeGuard<K>) -> Option<K> {
        let ObjectName { namespace, name } = ObjectName::of(object);
        let there = self.store.get(&ObjectRef::new(&name).within(&namespace))?;
        Some(there.as_ref().clone())
    }
}
