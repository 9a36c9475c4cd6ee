//! What a jail closes to a banned address: protocols and ports.

use crate::act::nft::{Parameters, PortRange};

/// Protocols and ports that are closed to a banned address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guarded {
    /// Protocol numbers; none is all protocols.
    pub protocols: Vec<u8>,
    /// Ports; none is all ports.
    pub ports: Vec<PortRange>,
}

impl Guarded {
    /// Whether a banned address cannot reach this port.
    pub fn covers(&self, protocol: u8, port: u16) -> bool {
        (self.protocols.is_empty() || self.protocols.contains(&protocol)) && self.covers_port(port)
    }

    /// The same, whatever the protocol.
    pub fn covers_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|(first, last)| (*first..=*last).contains(&port))
    }
}

impl From<&Parameters> for Guarded {
    fn from(parameters: &Parameters) -> Self {
        Guarded { protocols: parameters.protocols.clone(), ports: parameters.ports.clone() }
    }
}
