//! UpdateFeatures: the levels that a cluster's features are at. One that is refused spoils all of the request.

use shore_base::collections::BTreeMap;
use shore_wire::error::ErrorCode;
use shore_wire::messages::update_features_response::UpdatableFeatureResult;
use shore_wire::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use shore_wire::records::metadata::{ConfigRecord, MetadataRecord};

use super::{Call, Controller, NOT_STORED};
use crate::api::text;
use crate::config::ConfigMap;
use crate::config::alter::BROKER;
use crate::features::{ELIGIBLE_LEADER_REPLICAS, FEATURES, KRAFT_VERSION, METADATA_CHANGES, METADATA_VERSION};

const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

/// Eligible leader replicas are no older than this metadata version.
const ELR_METADATA_VERSION: i16 = 23;

/// Whether there is room for raising `kraft.version`.
const VERSIONED: bool = cfg!(feature = "quorum");

impl Controller {
    pub(super) fn update_features(&mut self, call: Call, request: UpdateFeaturesRequest) {
        let mut updates: BTreeMap<&str, (i16, i8)> = BTreeMap::new();
        for update in &request.feature_updates {
            updates.insert(update.feature.as_str(), (update.max_version_level, update.upgrade_type));
        }
        let outcome: Result<Vec<Option<MetadataRecord>>, String> =
            updates.iter().map(|(&name, &(level, way))| self.updated_feature(name, level, way, &updates)).collect();
        let mut response = UpdateFeaturesResponse::default();
        match outcome {
            Err(why) => {
                response.error_code = ErrorCode::InvalidUpdateVersion.code();
                let why = format!("The update failed for all features since the following feature had an error: {why}");
                response.error_message = Some(text(&why));
            }
            Ok(records) => {
                if !request.validate_only {
                    let mut all = match updates.get(ELIGIBLE_LEADER_REPLICAS) {
                        Some((1.., _)) => self.one_min_insync_replicas(),
                        _ => Vec::new(),
                    };
                    all.extend(records.into_iter().flatten());
                    let raised = updates.get(KRAFT_VERSION).is_some_and(|&(level, _)| level > self.kraft_version());
                    if raised && VERSIONED {
                        self.raise_kraft_version();
                    }
                    self.propose(&all);
                }
                response.error_message = None;
                if call.version <= 1 {
                    response.results = request.feature_updates.iter().map(|update| updated(&update.feature)).collect();
                }
            }
        }
        let mut failed = UpdateFeaturesResponse::default();
        failed.error_code = NOT_STORED.code();
        failed.error_message = Some(text(NOT_STORED.message()));
        self.respond_when_committed(call, &response, &failed);
    }

    /// The record that brings a feature to this level, if one is needed. The text is Kafka's.
    fn updated_feature(
        &self,
        name: &str,
        level: i16,
        way: i8,
        updates: &BTreeMap<&str, (i16, i8)>,
    ) -> Result<Option<MetadataRecord>, String> {
        let refuse = |why: &str| Err(format!("Invalid update version {level} for feature {name}. {why}"));
        let current = self.image.feature(name);
        if !matches!(way, UPGRADE | SAFE_DOWNGRADE | UNSAFE_DOWNGRADE) {
            return refuse("The controller does not support the given upgrade type.");
        }
        if level < 0 {
            return refuse("A feature version cannot be less than 0.");
        }
        let controller = self.node.node_id;
        let known = FEATURES.iter().find(|feature| feature.name == name);
        let (min, max) = known.map_or((0, 0), |feature| (feature.min, feature.max));
        if !(min..=max).contains(&level) {
            return match known {
                Some(_) => refuse(&format!("Local controller {controller} only supports versions {min}-{max}")),
                None => refuse(&format!("Local controller {controller} does not support this feature.")),
            };
        }
        if level < current && way == UPGRADE {
            return refuse(
                "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe \
                 downgrade.",
            );
        }
        if level > current && way != UPGRADE {
            return refuse("Can't downgrade to a newer version.");
        }
        match name {
            METADATA_VERSION => check_metadata_version(current, level, way)?,
            KRAFT_VERSION if level > current && !VERSIONED => {
                return Err(format!("Invalid upgrade of {name} to {level} because not all of the voters support it"));
            }
            // The quorum writes that down, not the controller.
            KRAFT_VERSION if level >= current => return Ok(None),
            KRAFT_VERSION => return refuse("Can't downgrade the version of this feature."),
            ELIGIBLE_LEADER_REPLICAS if level > 0 => {
                let metadata = match updates.get(METADATA_VERSION) {
                    Some(&(level, _)) => level,
                    None => self.image.feature(METADATA_VERSION),
                };
                if metadata < ELR_METADATA_VERSION {
                    return refuse(&format!(
                        "{name} could not be set to {level} because it depends on {METADATA_VERSION} level \
                         {ELR_METADATA_VERSION}"
                    ));
                }
            }
            _ if known.is_none() => return refuse(&format!("Feature {name} not found.")),
            _ => {}
        }
        Ok(Some(MetadataRecord::FeatureLevel { name: name.to_owned(), level }))
    }

    /// With eligible leader replicas the least number of replicas in sync is said once for all brokers.
    fn one_min_insync_replicas(&self) -> Vec<MetadataRecord> {
        const NAME: &str = "min.insync.replicas";
        let set = |resource_name: &str, value: Option<&str>| {
            MetadataRecord::Config(ConfigRecord {
                resource_type: BROKER,
                resource_name: resource_name.to_owned(),
                name: NAME.to_owned(),
                value: value.map(str::to_owned),
            })
        };
        let is_set = |broker: &str| {
            self.image.configs(BROKER, broker).is_some_and(|configs: &ConfigMap| configs.contains_key(NAME))
        };
        let mut records = Vec::new();
        if !is_set("") {
            records.push(set("", self.settings.text(NAME)));
        }
        let own = self.image.configured(BROKER).filter(|broker| !broker.is_empty() && is_set(broker));
        records.extend(own.map(|broker| set(broker, None)));
        records
    }
}

/// Whether the metadata log can be read at another version: upwards always, downwards as long as nothing changed.
fn check_metadata_version(current: i16, level: i16, way: i8) -> Result<(), String> {
    if METADATA_CHANGES.iter().any(|change| (level + 1..=current).contains(change)) {
        let why = match way {
            UNSAFE_DOWNGRADE => "Unsafe metadata downgrade is not supported in this version.",
            _ => "Refusing to perform the requested downgrade because it might delete metadata information.",
        };
        return Err(format!("Unsupported metadata.version downgrade from {current} to {level}. {why}"));
    }
    Ok(())
}

fn updated(feature: &str) -> UpdatableFeatureResult {
    let mut result = UpdatableFeatureResult::default();
    result.feature = text(feature);
    result.error_message = Some(text("NONE"));
    result
}
