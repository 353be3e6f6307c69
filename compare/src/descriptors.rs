//! The descriptors of the compared services: which methods there are, what they say about side
//! effects, and the types of their messages.

use std::collections::{BTreeSet, HashMap};

use cutover_manifest::MethodPath;
use prost::Message as _;
use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};
use prost_types::method_options::IdempotencyLevel;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

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

    /// From files in any order, as server reflection hands them out; a file may come more than
    /// once. `prost-types` does not know `debug_redact`: where that matters, hand the encoded
    /// files to [`Descriptors::from_encoded_files`] instead.
    pub fn from_files(
        files: impl IntoIterator<Item = FileDescriptorProto>,
    ) -> Result<Descriptors, DescriptorError> {
        let mut set = FileDescriptorSet::default();
        let mut names = BTreeSet::new();
        for file in files {
            if names.insert(file.name().to_owned()) {
                set.file.push(file);
            }
        }
        Self::decode(&set.encode_to_vec())
    }

    /// From encoded `FileDescriptorProto`s in any order, with every option kept; a file may come
    /// more than once.
    pub fn from_encoded_files<B: AsRef<[u8]>>(
        files: impl IntoIterator<Item = B>,
    ) -> Result<Descriptors, DescriptorError> {
        // An encoded set is the encoded files, each as field 1.
        const FIELD_FILE: u32 = 1;
        let mut set = Vec::new();
        let mut names = BTreeSet::new();
        for file in files {
            let bytes = file.as_ref();
            let name = FileDescriptorProto::decode(bytes).map(|file| file.name().to_owned());
            if name.is_err() || name.is_ok_and(|name| names.insert(name)) {
                prost::encoding::bytes::encode(FIELD_FILE, &bytes.to_vec(), &mut set);
            }
        }
        Self::decode(&set)
    }

    /// The method with this path, `/package.Service/Method`.
    #[must_use]
    pub fn method(&self, path: &str) -> Option<&Method> {
        self.methods.get(path)
    }

    /// The paths of all methods.
    #[must_use]
    pub fn paths(&self) -> BTreeSet<MethodPath> {
        self.methods
            .values()
            .map(|method| method.path.clone())
            .collect()
    }

    fn from_pool(pool: &DescriptorPool) -> Descriptors {
        let services: Vec<_> = pool.services().collect();
        let methods = services
            .iter()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .filter_map(|method| Method::new(&method))
            .map(|method| (method.path.as_str().to_owned(), method))
            .collect();
        Descriptors { methods }
    }
}

impl Method {
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
        })
    }
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
    fn takes_files_in_any_order_and_more_than_once() {
        let set = FileDescriptorSet::decode(cutover_proto::cutover::FILE_DESCRIPTOR_SET).unwrap();
        let files = set.file.iter().rev().chain(&set.file).cloned();
        let paths = Descriptors::from_files(files).unwrap().paths();
        let encoded = set
            .file
            .iter()
            .rev()
            .map(FileDescriptorProto::encode_to_vec);
        assert_eq!(
            Descriptors::from_encoded_files(encoded).unwrap().paths(),
            paths
        );
        assert!(paths.iter().any(|path| path.method() == "Sync"));
    }

    #[test]
    fn refuses_what_is_no_descriptor_set() {
        assert!(Descriptors::decode(b"not a descriptor set").is_err());
        assert!(Descriptors::from_encoded_files([b"\xff\xff"]).is_err());
    }
}
