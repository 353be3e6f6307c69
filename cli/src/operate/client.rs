//! The connection to a control plane's operator address, and its errors in a person's words.

use std::time::Duration;

use cutover_proto::cutover::v1::operator_service_client::OperatorServiceClient;
use cutover_proto::cutover::v1::{GetStatusRequest, Status};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response};

use crate::args::OperatorArgs;
use crate::failure::Failure;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for one answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a change looks at a state that others go on changing.
const MAX_LOOKS: u32 = 5;
/// Largest answer that is taken: a status of thousands of methods is some MB.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A client of the operator's API.
pub(super) struct Client {
    /// The generated client, for calls beyond those here.
    pub(super) service: OperatorServiceClient<InterceptedService<Channel, Bearer>>,
    address: String,
}

/// Adds the bearer token, if there is one.
#[derive(Clone)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, tonic::Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Client {
    /// Connects to the control plane that the flags name.
    pub(super) async fn connect(args: &OperatorArgs) -> Result<Client, Failure> {
        let address = args
            .operator
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned();
        let token = match &args.token {
            None => None,
            Some(token) => {
                let mut value: MetadataValue<Ascii> =
                    format!("Bearer {token}").parse().map_err(|_| {
                        Failure::usage("--token holds characters that no header may have")
                    })?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let bad_address = || {
            Failure::usage(format!("--operator {:?} is not an address", args.operator))
                .help("write it as HOST:PORT, such as 127.0.0.1:50054")
        };
        let has_port = address
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if !has_port {
            return Err(bad_address());
        }
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|_| bad_address())?
            .connect_timeout(CONNECT_TIMEOUT)
            .connect()
            .await
            .map_err(|error| unreachable(&address).at(format!("because: {}", deepest(&error))))?;
        let service = OperatorServiceClient::with_interceptor(channel, Bearer(token))
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        Ok(Client { service, address })
    }

    /// The state of everything, now.
    pub(super) async fn status(&mut self) -> Result<Status, Failure> {
        let answer = self
            .service
            .get_status(self.request(GetStatusRequest {}))
            .await;
        let answer = answer.map_err(|status| self.failure(&status))?.into_inner();
        answer
            .status
            .ok_or_else(|| Failure::failed("the control plane sent no status"))
    }

    /// Asks for a change on the state that `given` names, else as it is now; where somebody else
    /// changes it between looking and asking, looks again.
    pub(super) async fn change<A>(
        &mut self,
        given: Option<u64>,
        mut ask: impl AsyncFnMut(&mut Client, u64) -> Result<Response<A>, tonic::Status>,
    ) -> Result<A, Failure> {
        let mut looks = 0;
        loop {
            let revision = match given {
                Some(revision) => revision,
                None => self.status().await?.generation,
            };
            looks += 1;
            match ask(self, revision).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status)
                    if status.code() == Code::Aborted && given.is_none() && looks < MAX_LOOKS => {}
                Err(status) => return Err(self.failure(&status)),
            }
        }
    }

    /// A request with a deadline.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(CALL_TIMEOUT);
        request
    }

    /// A gRPC status in a person's words.
    pub(super) fn failure(&self, status: &tonic::Status) -> Failure {
        let what = match status.message() {
            "" => format!("the control plane answered {:?}", status.code()),
            message => message.to_owned(),
        };
        match status.code() {
            Code::Unavailable => unreachable(&self.address).at(format!("because: {what}")),
            Code::Unauthenticated | Code::PermissionDenied => Failure::usage(what)
                .help("give the control plane's token with --token or CUTOVER_OPERATOR_TOKEN"),
            Code::InvalidArgument | Code::NotFound => Failure::usage(what),
            Code::Unimplemented => Failure::failed(what).help(format!(
                "is {} the operator address (spec.control.operator) of a control plane?",
                self.address
            )),
            _ => Failure::failed(what),
        }
    }
}

fn unreachable(address: &str) -> Failure {
    Failure::failed(format!("can't reach a control plane at {address}")).help(
        "start one with `cutover up -f FILE`, or name its operator address with --operator \
         or CUTOVER_OPERATOR",
    )
}

/// The last cause of an error: the one that says what the system said.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
