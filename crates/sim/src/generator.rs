//! What producers put into their records.

use bytes::Bytes;
use shore_base::Random;

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generator {
    /// Orders of a shop, as JSON; the key is the customer.
    Orders,
    /// Page views, as JSON; the key is the visitor.
    Clicks,
    /// `producer-number`: short, and no two alike.
    Numbered,
    /// This many bytes that do not compress.
    Noise(u32),
}

const GOODS: [&str; 8] = ["tea", "lamp", "chair", "kettle", "bicycle", "notebook", "umbrella", "clock"];
const PAGES: [&str; 6] = ["/", "/search", "/goods", "/basket", "/checkout", "/help"];

impl Generator {
    /// The record numbered `number` of the producer called `name`.
    pub fn record(self, random: &mut Random, name: &str, number: u64, keys: u32) -> (Option<Bytes>, Bytes) {
        let who = random.below(u64::from(keys));
        let key = |prefix: &str| (keys > 0).then(|| Bytes::from(format!("{prefix}-{who}")));
        match self {
            Self::Orders => {
                let item = GOODS[random.below(GOODS.len() as u64) as usize];
                let quantity = 1 + random.below(5);
                let cents = 100 + random.below(20_000);
                let value = format!(
                    r#"{{"order":"{name}-{number}","customer":"customer-{who}","item":"{item}","quantity":{quantity},"total":{}.{:02}}}"#,
                    cents / 100,
                    cents % 100
                );
                (key("customer"), Bytes::from(value))
            }
            Self::Clicks => {
                let page = PAGES[random.below(PAGES.len() as u64) as usize];
                let millis = 5 + random.below(900);
                let value =
                    format!(r#"{{"view":"{name}-{number}","visitor":"visitor-{who}","page":"{page}","ms":{millis}}}"#);
                (key("visitor"), Bytes::from(value))
            }
            Self::Numbered => (key("key"), Bytes::from(format!("{name}-{number}"))),
            Self::Noise(len) => {
                let mut value = vec![0; len as usize];
                random.fill(&mut value);
                (key("key"), Bytes::from(value))
            }
        }
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "orders" => Ok(Self::Orders),
            "clicks" => Ok(Self::Clicks),
            "numbered" => Ok(Self::Numbered),
            _ => match text.strip_prefix("noise:").map(str::parse::<u32>) {
                Some(Ok(len)) if len <= MAX_NOISE => Ok(Self::Noise(len)),
                _ => Err(format!(
                    "no record generator \"{text}\": it is orders, clicks, numbered or noise:BYTES (at most {MAX_NOISE})"
                )),
            },
        }
    }
}

const MAX_NOISE: u32 = 1 << 20;

impl core::fmt::Display for Generator {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Orders => f.write_str("orders"),
            Self::Clicks => f.write_str("clicks"),
            Self::Numbered => f.write_str("numbered"),
            Self::Noise(len) => write!(f, "noise:{len}"),
        }
    }
}
