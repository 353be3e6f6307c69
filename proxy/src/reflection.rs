//! Where descriptors come from: a file, or a server that is asked by gRPC server reflection, v1
//! first, then v1alpha (which is all that Python's servers have).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cutover_compare::Descriptors;
use cutover_manifest::{Arm, DescriptorSource, Manifest};
use prost::Message;
use prost_types::FileDescriptorProto;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Files that one server may have; a larger answer is refused.
const MAX_FILES: usize = 2_000;
/// How long the whole conversation may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a server's descriptors could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ReflectionError {
    /// The address is no URL.
    #[error("{0:?} is not a URL such as http://HOST:PORT")]
    Url(String),
    /// No connection.
    #[error("cannot connect to {url}: {reason}")]
    Connect {
        /// The server.
        url: String,
        /// What the connection attempt said.
        reason: String,
    },
    /// The server has no reflection service.
    #[error("{0} has no server reflection: enable it, or name a descriptor file in the manifest")]
    Missing(String),
    /// The conversation failed.
    #[error("server reflection of {url} failed: {reason}")]
    Failed {
        /// The server.
        url: String,
        /// What went wrong.
        reason: String,
    },
}

/// The encoded `FileDescriptorSet` of the server at `url` (`http://HOST:PORT`): every file that
/// describes its services, with imports and all options, in no particular order.
///
/// # Errors
/// When the server can't be reached within 5 s, has no reflection, or answers with nonsense.
pub async fn fetch(url: &str) -> Result<Vec<u8>, ReflectionError> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|_| ReflectionError::Url(url.to_owned()))?
        .connect_timeout(TIMEOUT);
    let failed = |reason: String| ReflectionError::Failed {
        url: url.to_owned(),
        reason,
    };
    let conversation = async {
        let channel = endpoint.connect().await.map_err(|error| {
            let chain = std::error::Error::source(&error).map(ToString::to_string);
            ReflectionError::Connect {
                url: url.to_owned(),
                reason: chain.unwrap_or_else(|| error.to_string()),
            }
        })?;
        let answered = match v1::fetch(channel.clone()).await {
            Err(status) if status.code() == Code::Unimplemented => v1alpha::fetch(channel).await,
            answered => answered,
        };
        answered.map_err(|status| match status.code() {
            Code::Unimplemented => ReflectionError::Missing(url.to_owned()),
            _ => failed(status.message().to_owned()),
        })
    };
    match tokio::time::timeout(TIMEOUT, conversation).await {
        Ok(answered) => answered,
        Err(_) => Err(failed(format!("no answer within {TIMEOUT:?}"))),
    }
}

/// The methods of the services that a manifest is about: from the file it names, else by
/// reflection from the first arm that answers.
///
/// # Errors
/// Why there are none, in words that name the file or both arms.
pub async fn descriptors(manifest: &Manifest) -> Result<Descriptors, String> {
    if let DescriptorSource::File(path) = &manifest.descriptors {
        let bytes = tokio::fs::read(path)
            .await
            .map_err(|error| format!("{path}: {error}"))?;
        return Descriptors::decode(&bytes).map_err(|error| format!("{path}: {error}"));
    }
    let mut reasons = Vec::new();
    for arm in Arm::BOTH {
        match fetch(&format!("http://{}", manifest.arm(arm).authority)).await {
            Ok(set) => match Descriptors::decode(&set) {
                Ok(descriptors) => return Ok(descriptors),
                Err(error) => reasons.push(format!("{arm}: {error}")),
            },
            Err(error) => reasons.push(format!("{arm}: {error}")),
        }
    }
    Err(reasons.join("; "))
}

/// What is still to be asked, and what was answered.
#[derive(Default)]
struct Files {
    found: BTreeMap<String, (Vec<u8>, FileDescriptorProto)>,
    asked: BTreeSet<String>,
}

impl Files {
    /// Takes encoded files; returns the imports that are neither here nor asked for.
    fn take(&mut self, encoded: Vec<Vec<u8>>) -> Result<Vec<String>, Status> {
        for bytes in encoded {
            let file = FileDescriptorProto::decode(bytes.as_slice())
                .map_err(|error| Status::internal(format!("a file doesn't decode: {error}")))?;
            self.found.insert(file.name().to_owned(), (bytes, file));
        }
        if self.found.len() > MAX_FILES {
            return Err(Status::resource_exhausted(format!(
                "more than {MAX_FILES} files"
            )));
        }
        let imports = self.found.values().flat_map(|(_, file)| &file.dependency);
        let missing: BTreeSet<String> = imports
            .filter(|name| !self.found.contains_key(*name) && !self.asked.contains(*name))
            .cloned()
            .collect();
        self.asked.extend(missing.iter().cloned());
        Ok(missing.into_iter().collect())
    }

    /// The files as they were sent: `prost-types` would lose options that it doesn't know, such as
    /// `debug_redact`. An encoded set is the encoded files, each as field 1.
    fn into_set(self) -> Vec<u8> {
        let files: Vec<Vec<u8>> = self.found.into_values().map(|(bytes, _)| bytes).collect();
        let mut set = Vec::new();
        prost::encoding::bytes::encode_repeated(1, &files, &mut set);
        set
    }
}

/// The two versions have the same messages in different packages.
macro_rules! version {
    ($version:ident) => {
        mod $version {
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, ServerReflectionResponse,
            };

            use super::*;

            pub(super) async fn fetch(channel: Channel) -> Result<Vec<u8>, Status> {
                let (ask, questions) = tokio::sync::mpsc::channel(1);
                let mut client =
                    ServerReflectionClient::new(channel).max_decoding_message_size(64 << 20);
                let question = |message| ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(message),
                };
                // The first question goes out before the answer's headers are waited for: some
                // servers send those only together with the first answer.
                let first = question(MessageRequest::ListServices(String::new()));
                ask.send(first)
                    .await
                    .map_err(|_| Status::internal("the stream is closed"))?;
                let answers = client.server_reflection_info(ReceiverStream::new(questions));
                let mut answers = answers.await?.into_inner();
                let mut next = async |message: Option<MessageRequest>| {
                    if let Some(message) = message {
                        let sent = ask.send(question(message)).await;
                        sent.map_err(|_| Status::internal("the stream is closed"))?;
                    }
                    let answer: Option<ServerReflectionResponse> = answers.message().await?;
                    answer
                        .and_then(|answer| answer.message_response)
                        .ok_or_else(|| Status::internal("the stream ended early"))
                };
                let services = match next(None).await? {
                    MessageResponse::ListServicesResponse(list) => list.service,
                    other => return Err(unexpected(&format!("{other:?}"))),
                };
                let mut files = Files::default();
                let mut missing = Vec::new();
                for service in services {
                    let symbol = MessageRequest::FileContainingSymbol(service.name);
                    match next(Some(symbol)).await? {
                        MessageResponse::FileDescriptorResponse(found) => {
                            missing.extend(files.take(found.file_descriptor_proto)?);
                        }
                        // A server may list a service that it has no descriptor for.
                        MessageResponse::ErrorResponse(error) => {
                            tracing::debug!(error.error_message, "a service has no descriptor");
                        }
                        other => return Err(unexpected(&format!("{other:?}"))),
                    }
                }
                while let Some(name) = missing.pop() {
                    match next(Some(MessageRequest::FileByFilename(name))).await? {
                        MessageResponse::FileDescriptorResponse(found) => {
                            missing.extend(files.take(found.file_descriptor_proto)?);
                        }
                        other => return Err(unexpected(&format!("{other:?}"))),
                    }
                }
                Ok(files.into_set())
            }
        }
    };
}

version!(v1);
version!(v1alpha);

fn unexpected(answer: &str) -> Status {
    let start: String = answer.chars().take(200).collect();
    Status::internal(format!("an unexpected answer: {start}"))
}
