//! Requests sorted by what they are for: one colour and one filter each.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Produce,
    Fetch,
    /// Membership of groups.
    Group,
    /// Committed offsets.
    Offsets,
    /// Topics, configs, producer ids, and the rest.
    Admin,
    /// Who is there and what they speak.
    Metadata,
}

impl Kind {
    pub const ALL: [Self; 6] = [Self::Produce, Self::Fetch, Self::Group, Self::Offsets, Self::Metadata, Self::Admin];

    pub const fn of(api_key: i16) -> Self {
        match api_key {
            0 => Self::Produce,
            1 | 2 => Self::Fetch,
            8 | 9 => Self::Offsets,
            10..=16 | 42 | 68 | 69 => Self::Group,
            3 | 18 | 60 | 75 => Self::Metadata,
            _ => Self::Admin,
        }
    }

    /// For a class name and an element id.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Fetch => "fetch",
            Self::Group => "group",
            Self::Offsets => "offsets",
            Self::Admin => "admin",
            Self::Metadata => "metadata",
        }
    }

    pub const fn label(self) -> &'static str {
        match self {
            Self::Produce => "Produce",
            Self::Fetch => "Fetch",
            Self::Group => "Groups",
            Self::Offsets => "Offsets",
            Self::Admin => "Admin",
            Self::Metadata => "Metadata",
        }
    }
}

/// The protocol's name of an API.
pub fn name(api_key: i16) -> String {
    shore_wire::api::ApiKey::from_key(api_key).map_or_else(|| format!("API {api_key}"), |key| key.name().to_owned())
}
