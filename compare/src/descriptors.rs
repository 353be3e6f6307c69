//! The descriptors of the compared services: which methods there are, what they say about side
//! effects, and the types of their messages.

use std::collections::{BTreeSet, HashMap};

use cutover_manifest::MethodPath;
use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};
use prost_types::method_options::IdempotencyLevel;

/// Why descriptors can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// The bytes are no `FileDescriptorSet`, a type is missing, or two files contradict each
    /// other.
    #[error("the file descriptor set is invalid")]
    Invalid(#[source] prost_reflect::DescriptorError),
}

/// Whether calling a method twice may matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideEffects {
    /// Marked `idempotency_level = NO_SIDE_EFFECTS`.
    None,
    /// Everything else: `IDEMPOTENT` writes too.
    Possible,
}

/// One method.
#[derive(Clone, Debug)]
pub struct Method {
    /// `/package.Service/Method`.
    pub path: MethodPath,
    /// Whether the client sends a stream.
    pub client_streaming: bool,
    /// Whether the server sends a stream.
    pub server_streaming: bool,
    /// Whether calling it twice may matter.
    pub side_effects: SideEffects,
    /// Type of the requests.
    pub input: MessageDescriptor,
    /// Type of the responses.
    pub output: MessageDescriptor,
    /// For each field of the responses that is a case of a oneof, by number: the oneof's least
    /// number.
    cases: Vec<(u32, u32)>,
}

/// All methods of a set of files, by path. Cheap to look up, immutable.
#[derive(Clone, Debug)]
pub struct Descriptors {
    methods: HashMap<String, Method>,
}

impl Descriptors {
    /// From an encoded `FileDescriptorSet` that holds its imports. Custom options survive.
    pub fn decode(file_descriptor_set: &[u8]) -> Result<Descriptors, DescriptorError> {
        let pool = DescriptorPool::decode(file_descriptor_set).map_err(DescriptorError::Invalid)?;
        Ok(Self::from_pool(&pool))
    }

    /// From descriptors that are together already.
    #[must_use]
    pub fn from_pool(pool: &DescriptorPool) -> Descriptors {
        let services: Vec<_> = pool.services().collect();
        let methods = services
            .iter()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .filter_map(|method| Method::new(&method))
            .map(|method| (method.path.as_str().to_owned(), method))
            .collect();
        Descriptors { methods }
    }

    /// The method with this path, `/package.Service/Method`.
    #[must_use]
    pub fn method(&self, path: &str) -> Option<&Method> {
        self.methods.get(path)
    }

    /// All methods, in no order.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        self.methods.values()
    }

    /// The paths of all methods.
    #[must_use]
    pub fn paths(&self) -> BTreeSet<MethodPath> {
        self.methods
            .values()
            .map(|method| method.path.clone())
            .collect()
    }
}

impl Method {
    /// The least number of the oneof that a field of the responses is a case of; of any other
    /// field, its own.
    pub(crate) fn belongs_to(&self, number: u32) -> u32 {
        let found = self.cases.binary_search_by_key(&number, |case| case.0);
        found.map_or(number, |index| self.cases[index].1)
    }

    /// `None` where the names are outside what a path can hold, which no compiler lets through.
    fn new(method: &MethodDescriptor) -> Option<Method> {
        let service = method.parent_service().full_name().to_owned();
        let options = method
            .method_descriptor_proto()
            .options
            .clone()
            .unwrap_or_default();
        Some(Method {
            path: MethodPath::new(&service, method.name()).ok()?,
            client_streaming: method.is_client_streaming(),
            server_streaming: method.is_server_streaming(),
            side_effects: match options.idempotency_level() {
                IdempotencyLevel::NoSideEffects => SideEffects::None,
                _ => SideEffects::Possible,
            },
            input: method.input(),
            output: method.output(),
            cases: cases(&method.output()),
        })
    }
}

fn cases(message: &MessageDescriptor) -> Vec<(u32, u32)> {
    let mut cases = Vec::new();
    for oneof in message.oneofs() {
        let numbers: Vec<u32> = oneof.fields().map(|field| field.number()).collect();
        let least = numbers.iter().copied().min().unwrap_or_default();
        cases.extend(numbers.into_iter().map(|number| (number, least)));
    }
    cases.sort_unstable();
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &[u8] = cutover_proto::gazetteer::FILE_DESCRIPTOR_SET;

    #[test]
    fn reads_kinds_and_side_effects_of_every_method() {
        let descriptors = Descriptors::decode(SET).unwrap();
        assert_eq!(descriptors.paths().len(), 7);
        let method = |name: &str| {
            descriptors
                .method(&format!("/gazetteer.v1.GazetteerService/{name}"))
                .unwrap()
        };
        assert_eq!(method("GetPlace").side_effects, SideEffects::None);
        assert_eq!(method("RecordVisit").side_effects, SideEffects::Possible);
        assert!(method("Suggest").client_streaming && method("Suggest").server_streaming);
        assert!(
            descriptors
                .method("/gazetteer.v1.GazetteerService/Nope")
                .is_none()
        );
    }

    #[test]
    fn refuses_what_is_no_descriptor_set() {
        assert!(Descriptors::decode(b"not a descriptor set").is_err());
    }
}
