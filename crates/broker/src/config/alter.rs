//! What AlterConfigs and IncrementalAlterConfigs ask for, as one thing: resources with changes of their configs.

use shore_wire::messages::{alter_configs_request, incremental_alter_configs_request};

use super::{ConfigMap, Kind, broker_config, topic_config};

pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
pub(crate) const BROKER_LOGGER: i8 = 8;
pub(crate) const CLIENT_METRICS: i8 = 16;
pub(crate) const GROUP: i8 = 32;

/// A resource and what becomes of its configs.
#[derive(Clone, Debug)]
pub(crate) struct Alteration {
    pub resource_type: i8,
    pub resource_name: String,
    pub changes: Vec<Change>,
    /// AlterConfigs: configs that are not named are removed.
    pub replaces: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub name: String,
    /// `Err` is an operation that Kafka does not know.
    pub operation: Result<Operation, i8>,
    pub value: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Set,
    Delete,
    Append,
    Subtract,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Set => "SET",
            Self::Delete => "DELETE",
            Self::Append => "APPEND",
            Self::Subtract => "SUBTRACT",
        }
    }
}

impl From<&alter_configs_request::AlterConfigsResource> for Alteration {
    fn from(resource: &alter_configs_request::AlterConfigsResource) -> Self {
        let changes = resource.configs.iter().map(|config| Change {
            name: config.name.to_string(),
            operation: Ok(Operation::Set),
            value: config.value.as_ref().map(ToString::to_string),
        });
        Self {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.to_string(),
            changes: changes.collect(),
            replaces: true,
        }
    }
}

impl From<&incremental_alter_configs_request::AlterConfigsResource> for Alteration {
    fn from(resource: &incremental_alter_configs_request::AlterConfigsResource) -> Self {
        let changes = resource.configs.iter().map(|config| Change {
            name: config.name.to_string(),
            operation: match config.config_operation {
                0 => Ok(Operation::Set),
                1 => Ok(Operation::Delete),
                2 => Ok(Operation::Append),
                3 => Ok(Operation::Subtract),
                other => Err(other),
            },
            value: config.value.as_ref().map(ToString::to_string),
        });
        Self {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.to_string(),
            changes: changes.collect(),
            replaces: false,
        }
    }
}

impl Alteration {
    /// What the named configs become, given what they are; `None` removes one. The text is Kafka's.
    pub fn outcome(&self, current: &ConfigMap) -> Result<Vec<(String, Option<String>)>, String> {
        let mut outcome = Vec::with_capacity(self.changes.len());
        for change in &self.changes {
            let value = change.value.as_deref().unwrap_or_default();
            let becomes = match change.operation {
                Ok(Operation::Delete) => None,
                Ok(operation @ (Operation::Append | Operation::Subtract)) => {
                    let name = &change.name;
                    let Some((Kind::List, default)) = self.kind_and_default(name) else {
                        let operation = operation.name();
                        return Err(format!("Can't {operation} to key {name} because its type is not LIST."));
                    };
                    let known = current.get(name).map_or(default, String::as_str);
                    Some(alter_list(known, operation, value))
                }
                Ok(Operation::Set) | Err(_) => Some(value.to_owned()),
            };
            outcome.push((change.name.clone(), becomes));
        }
        if self.replaces {
            let removed = current.keys().filter(|name| !self.changes.iter().any(|change| change.name == **name));
            outcome.extend(removed.map(|name| (name.clone(), None)));
        }
        Ok(outcome)
    }

    fn kind_and_default(&self, name: &str) -> Option<(Kind, &'static str)> {
        match self.resource_type {
            TOPIC => topic_config(name).map(|config| (config.kind, config.default)),
            BROKER => broker_config(name).map(|config| (config.kind, config.default.unwrap_or_default())),
            CLIENT_METRICS if matches!(name, "match" | "metrics") => Some((Kind::List, "")),
            _ => None,
        }
    }
}

/// A list after items were added that it lacks, or taken out once each.
fn alter_list(known: &str, operation: Operation, given: &str) -> String {
    let mut items: Vec<&str> = known.split(',').filter(|item| !item.is_empty()).collect();
    for item in given.split(',') {
        match (operation, items.iter().position(|known| *known == item)) {
            (Operation::Append, None) => items.push(item),
            (Operation::Subtract, Some(index)) => {
                items.remove(index);
            }
            _ => {}
        }
    }
    items.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alteration(name: &str, operation: Operation, value: Option<&str>) -> Alteration {
        let change = Change { name: name.to_owned(), operation: Ok(operation), value: value.map(str::to_owned) };
        Alteration { resource_type: TOPIC, resource_name: "t".to_owned(), changes: vec![change], replaces: false }
    }

    #[test]
    fn operations_on_configs() {
        use Operation::*;
        let policy = "cleanup.policy";
        for (current, operation, value, becomes) in [
            (None, Set, Some("compact"), Ok(Some("compact"))),
            (Some("compact"), Delete, None, Ok(None)),
            (None, Append, Some("compact"), Ok(Some("delete,compact"))),
            (Some("compact"), Append, Some("compact,delete"), Ok(Some("compact,delete"))),
            (Some("compact,delete"), Subtract, Some("compact"), Ok(Some("delete"))),
            (Some("compact"), Subtract, Some("delete"), Ok(Some("compact"))),
        ] {
            let configs = current.map(|value| (policy.to_owned(), value.to_owned())).into_iter().collect();
            let outcome = alteration(policy, operation, value).outcome(&configs);
            let expected = becomes.map(|value: Option<&str>| vec![(policy.to_owned(), value.map(str::to_owned))]);
            assert_eq!(outcome, expected, "{current:?} {operation:?} {value:?}");
        }
        let refusal = alteration("retention.ms", Append, Some("1")).outcome(&ConfigMap::new());
        assert_eq!(refusal, Err("Can't APPEND to key retention.ms because its type is not LIST.".to_owned()));
    }

    #[test]
    fn what_replaces_removes_the_rest() {
        let mut replacing = alteration("retention.ms", Operation::Set, Some("5"));
        replacing.replaces = true;
        let current =
            ConfigMap::from([("retention.ms".to_owned(), "1".to_owned()), ("segment.ms".to_owned(), "2".to_owned())]);
        let outcome = replacing.outcome(&current);
        assert_eq!(
            outcome,
            Ok(vec![("retention.ms".to_owned(), Some("5".to_owned())), ("segment.ms".to_owned(), None)])
        );
    }
}
