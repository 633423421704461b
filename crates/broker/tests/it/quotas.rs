//! Quotas: set, described, refused. They limit nobody yet.

use shore_wire::error::ErrorCode;
use shore_wire::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use shore_wire::messages::describe_client_quotas_request::ComponentData;
use shore_wire::messages::{AlterClientQuotasRequest, DescribeClientQuotasRequest};

use crate::harness::Server;

type Entity<'a> = &'a [(&'a str, Option<&'a str>)];
/// What becomes of an entity's quotas; `None` removes one.
type Alteration<'a> = (Entity<'a>, &'a [(&'a str, Option<f64>)]);

fn alter(server: &mut Server, version: i16, alterations: &[Alteration]) -> Vec<(i16, String)> {
    let mut request = AlterClientQuotasRequest::default();
    for (entity, ops) in alterations {
        let mut entry = EntryData::default();
        for &(kind, name) in *entity {
            let mut part = EntityData::default();
            (part.entity_type, part.entity_name) = (kind.into(), name.map(Into::into));
            entry.entity.push(part);
        }
        for &(key, value) in *ops {
            let mut op = OpData::default();
            (op.key, op.value, op.remove) = (key.into(), value.unwrap_or(0.0), value.is_none());
            entry.ops.push(op);
        }
        request.entries.push(entry);
    }
    let response = server.ask(version, &request);
    let result = response.entries.iter();
    result.map(|entry| (entry.error_code, entry.error_message.as_deref().unwrap_or_default().to_owned())).collect()
}

fn describe(server: &mut Server, version: i16, strict: bool, filter: &[(&str, i8, Option<&str>)]) -> Vec<String> {
    let mut request = DescribeClientQuotasRequest::default();
    request.strict = strict;
    for &(kind, match_type, name) in filter {
        let mut component = ComponentData::default();
        (component.entity_type, component.match_type, component.match_) =
            (kind.into(), match_type, name.map(Into::into));
        request.components.push(component);
    }
    let response = server.ask(version, &request);
    let Some(entries) = response.entries else {
        return vec![format!("{} {}", response.error_code, response.error_message.unwrap_or_default())];
    };
    let entry = |entry: &shore_wire::messages::describe_client_quotas_response::EntryData| {
        let part = |name: Option<&str>| name.unwrap_or("<default>").to_owned();
        let entity: Vec<String> =
            entry.entity.iter().map(|of| format!("{}={}", of.entity_type, part(of.entity_name.as_deref()))).collect();
        let values: Vec<String> = entry.values.iter().map(|value| format!("{}={}", value.key, value.value)).collect();
        format!("{}: {}", entity.join(","), values.join(","))
    };
    entries.iter().map(entry).collect()
}

const ALICE: Entity = &[("user", Some("alice"))];
const DONE: (i16, String) = (0, String::new());

#[test]
fn quotas_are_set_described_and_removed() {
    let mut server = Server::start();
    for version in 0..=1 {
        let altered = alter(
            &mut server,
            version,
            &[
                (ALICE, &[("producer_byte_rate", Some(1000.0)), ("request_percentage", Some(12.5))]),
                (&[("user", None)], &[("consumer_byte_rate", Some(5.0))]),
                (&[("user", Some("alice")), ("client-id", Some("c"))], &[("producer_byte_rate", Some(7.0))]),
                (&[("ip", Some("127.0.0.1"))], &[("connection_creation_rate", Some(3.0))]),
            ],
        );
        assert_eq!(altered, [DONE, DONE, DONE, DONE]);
        let both = "client-id=c,user=alice: producer_byte_rate=7";
        let ip = "ip=127.0.0.1: connection_creation_rate=3";
        let default = "user=<default>: consumer_byte_rate=5";
        let alice = "user=alice: producer_byte_rate=1000,request_percentage=12.5";
        for (strict, filter, expected) in [
            (false, &[][..], &[both, ip, default, alice][..]),
            (true, &[], &[]),
            (false, &[("user", 2, None)], &[both, default, alice]),
            (true, &[("user", 2, None)], &[default, alice]),
            (false, &[("user", 1, None)], &[default]),
            (false, &[("user", 0, Some("alice"))], &[both, alice]),
            (true, &[("user", 0, Some("alice")), ("client-id", 2, None)], &[both]),
            (false, &[("ip", 0, Some("10.0.0.1"))], &[]),
        ] {
            assert_eq!(describe(&mut server, version, strict, filter), expected, "{filter:?}");
        }
        server = server.restart();
        assert_eq!(describe(&mut server, version, true, &[("user", 2, None)]), [default, alice]);
        let removed = alter(
            &mut server,
            version,
            &[
                (ALICE, &[("producer_byte_rate", None), ("request_percentage", None), ("no_such", None)]),
                (&[("user", None)], &[("consumer_byte_rate", None)]),
                (&[("client-id", Some("c")), ("user", Some("alice"))], &[("producer_byte_rate", None)]),
                (&[("ip", Some("127.0.0.1"))], &[("connection_creation_rate", None)]),
            ],
        );
        assert_eq!(removed, [DONE, DONE, DONE, DONE]);
        assert!(describe(&mut server, version, false, &[]).is_empty());
    }
}

#[test]
fn what_no_quota_can_be_is_refused_in_kafkas_words() {
    let mut server = Server::start();
    let rate: (&str, Option<f64>) = ("producer_byte_rate", Some(10.0));
    for (entity, ops, why) in [
        (&[][..], &[rate][..], "Invalid empty client quota entity"),
        (&[("group", Some("g"))], &[rate], "Unhandled client quota entity type: group"),
        (&[("user", Some(""))], &[rate], "Empty user not supported"),
        (ALICE, &[("no_such", Some(1.0))], "Invalid configuration key no_such"),
        (ALICE, &[("producer_byte_rate", Some(0.0))], "Quota producer_byte_rate must be greater than 0"),
        (ALICE, &[("producer_byte_rate", Some(1.5))], "producer_byte_rate cannot be a fractional value."),
        (
            ALICE,
            &[("consumer_byte_rate", Some(1e300))],
            "Proposed value for consumer_byte_rate is too large for a LONG.",
        ),
        (ALICE, &[rate, rate], "Ignoring duplicate entity ClientQuotaEntity(entries={user=alice})"),
        (
            &[("ip", Some("::1"))],
            &[("connection_creation_rate", Some(3e9))],
            "Proposed value for connection_creation_rate is too large for an INT.",
        ),
        (
            &[("ip", Some("somewhere else"))],
            &[("connection_creation_rate", Some(1.0))],
            "somewhere else is not a valid IP or resolvable host.",
        ),
        (
            &[("ip", None), ("user", None)],
            &[rate],
            "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId",
        ),
    ] {
        let refusal = (ErrorCode::InvalidRequest.code(), why.to_owned());
        assert_eq!(alter(&mut server, 1, &[(entity, ops)]), [refusal], "{entity:?} {ops:?}");
    }
    assert!(describe(&mut server, 1, false, &[]).is_empty());
    for (filter, why) in [
        (&[("", 2, None)][..], "42 Invalid empty entity type."),
        (&[("group", 2, None)], "35 Unsupported entity type group"),
        (&[("user", 2, None), ("user", 2, None)], "42 Entity type user cannot appear more than once in the filter."),
        (&[("user", 9, None)], "42 Unknown match type 9"),
    ] {
        assert_eq!(describe(&mut server, 1, false, filter), [why]);
    }
}
