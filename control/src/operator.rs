//! The operator's side: the gRPC service, and on the same port the dashboard, the read-only HTTP
//! API, metrics and probes.

mod auth;
mod dashboard;
mod gate;
mod guard;
mod http;
mod metrics;
mod watch;

use std::sync::Arc;

use cutover_manifest::Weight;
use cutover_proto::cutover::v1 as wire;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status};
use wire::operator_service_server::OperatorService;

use crate::core::ChangeError;
use crate::ramp::Move;
use crate::report::report;
use crate::shared::Shared;
use crate::store::{
    Sought, StoreError, Which, find_decision, list_decisions, list_samples, list_trace_pairs,
};

pub(crate) use auth::Token;
pub(crate) use http::router;

/// Longest name of a person, bytes.
const MAX_WHO_BYTES: usize = 256;
/// Longest reason, bytes.
const MAX_WHY_BYTES: usize = 1_024;

/// The service that operators call.
#[derive(Clone)]
pub(crate) struct Operator {
    shared: Arc<Shared>,
}

/// A limit asked for: 0 means the default.
pub(super) fn limit(asked: u32, default: u32, most: u32) -> u32 {
    if asked == 0 { default } else { asked.min(most) }
}

impl Operator {
    pub(crate) fn new(shared: Arc<Shared>) -> Operator {
        Operator { shared }
    }

    async fn status(&self) -> wire::Status {
        self.shared.status().await
    }

    /// Applies a change to the state that it is `based_on`, and answers with the state after it.
    async fn changed(
        &self,
        based_on: Option<u64>,
        mut decide: impl FnMut(
            &mut crate::core::Core,
            crate::core::Moment,
        ) -> Result<Vec<wire::Decision>, ChangeError>
        + Send
        + 'static,
    ) -> Result<Option<wire::Status>, Status> {
        let decide = move |core: &mut crate::core::Core, at| {
            core.check_revision(based_on)?;
            decide(core, at)
        };
        let saved = self.shared.change(decide).await.map_err(refused)?;
        saved.map_err(|error| {
            Status::data_loss(format!(
                "the change is in force, but it was not saved: {error}"
            ))
        })?;
        Ok(Some(self.status().await))
    }
}

#[tonic::async_trait]
impl OperatorService for Operator {
    type WatchStatusStream = BoxStream<'static, Result<wire::WatchStatusResponse, Status>>;

    async fn get_status(
        &self,
        _: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        Ok(Response::new(wire::GetStatusResponse {
            status: Some(self.status().await),
        }))
    }

    async fn watch_status(
        &self,
        _: Request<wire::WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        let states = watch::states(self.shared.clone(), watch::Pace::OnChange)
            .ok_or_else(|| Status::resource_exhausted("too many watch the state already"))?;
        let answers = states
            .map(|status| {
                Ok(wire::WatchStatusResponse {
                    status: Some(status),
                })
            })
            .boxed();
        Ok(Response::new(answers))
    }

    async fn set_weight(
        &self,
        request: Request<wire::SetWeightRequest>,
    ) -> Result<Response<wire::SetWeightResponse>, Status> {
        let wire::SetWeightRequest {
            scope,
            weight_bp,
            who,
            why,
            revision,
        } = request.into_inner();
        check_person(&who, &why)?;
        let weight = weight_bp.map(|bp| {
            Weight::from_bp(bp).ok_or_else(|| {
                Status::invalid_argument(format!("weight_bp {bp}: write 0 to 10,000"))
            })
        });
        let weight = weight.transpose()?;
        let status = self
            .changed(revision, move |core, at| {
                core.set_weight(&scope, weight, (&who, &why), at)
            })
            .await?;
        Ok(Response::new(wire::SetWeightResponse { status }))
    }

    async fn move_ramp(
        &self,
        request: Request<wire::MoveRampRequest>,
    ) -> Result<Response<wire::MoveRampResponse>, Status> {
        let request = request.into_inner();
        let step = match request.r#move() {
            wire::RampMove::Pause => Move::Pause,
            wire::RampMove::Resume => Move::Resume,
            wire::RampMove::Promote => Move::Promote,
            wire::RampMove::PromoteFull => Move::PromoteFull,
            wire::RampMove::Abort => Move::Abort,
            wire::RampMove::Unspecified => {
                return Err(Status::invalid_argument("move: say which one"));
            }
        };
        let wire::MoveRampRequest {
            scope,
            who,
            why,
            revision,
            ..
        } = request;
        check_person(&who, &why)?;
        let status = self
            .changed(revision, move |core, at| {
                core.move_ramp(&scope, step, (&who, &why), at)
            })
            .await?;
        Ok(Response::new(wire::MoveRampResponse { status }))
    }

    async fn list_differences(
        &self,
        request: Request<wire::ListDifferencesRequest>,
    ) -> Result<Response<wire::ListDifferencesResponse>, Status> {
        let wire::ListDifferencesRequest {
            method,
            path,
            limit: asked,
        } = request.into_inner();
        let most = limit(asked, 50, 500);
        let samples = self
            .shared
            .store
            .call(move |c| list_samples(c, &method, &path, most))
            .await;
        let samples = samples.map_err(unreadable)?;
        Ok(Response::new(wire::ListDifferencesResponse { samples }))
    }

    async fn list_trace_pairs(
        &self,
        request: Request<wire::ListTracePairsRequest>,
    ) -> Result<Response<wire::ListTracePairsResponse>, Status> {
        let request = request.into_inner();
        let which = if request.only_mismatched {
            Which::Mismatched
        } else {
            Which::All
        };
        let most = limit(request.limit, 20, 200);
        let pairs = self
            .shared
            .store
            .call(move |c| list_trace_pairs(c, &request.method, which, most))
            .await
            .map_err(unreadable)?;
        Ok(Response::new(wire::ListTracePairsResponse { pairs }))
    }

    async fn list_decisions(
        &self,
        request: Request<wire::ListDecisionsRequest>,
    ) -> Result<Response<wire::ListDecisionsResponse>, Status> {
        let wire::ListDecisionsRequest { limit: asked, id } = request.into_inner();
        let store = &self.shared.store;
        let decisions = if id == 0 {
            let most = limit(asked, 50, 500);
            let listed = store.call(move |c| list_decisions(c, most)).await;
            listed.map_err(unreadable)?
        } else {
            let sought = store.call(move |c| find_decision(c, id)).await;
            match sought.map_err(unreadable)? {
                Sought::Found(decision) => vec![*decision],
                Sought::Unknown(range) => return Err(no_decision(id, range)),
            }
        };
        Ok(Response::new(wire::ListDecisionsResponse { decisions }))
    }

    async fn get_report(
        &self,
        _: Request<wire::GetReportRequest>,
    ) -> Result<Response<wire::GetReportResponse>, Status> {
        Ok(Response::new(
            report(&self.shared).await.map_err(unreadable)?,
        ))
    }
}

fn check_person(who: &str, why: &str) -> Result<(), Status> {
    if who.trim().is_empty() {
        return Err(Status::invalid_argument(
            "who: say who asks; it is kept in the decision log",
        ));
    }
    if who.len() > MAX_WHO_BYTES || why.len() > MAX_WHY_BYTES {
        let message = format!("who has at most {MAX_WHO_BYTES} bytes, why {MAX_WHY_BYTES}");
        return Err(Status::invalid_argument(message));
    }
    Ok(())
}

fn no_decision(id: u64, range: Option<(i64, i64)>) -> Status {
    Status::not_found(match range {
        None => format!("there is no decision {id}: none was made yet"),
        Some((first, last)) => format!("there is no decision {id}: the log has {first} to {last}"),
    })
}

fn refused(error: ChangeError) -> Status {
    tracing::warn!(%error, "refused an operator's change");
    match error {
        ChangeError::Stale { .. } => Status::aborted(error.to_string()),
        ChangeError::Invalid(message) => Status::invalid_argument(message),
        ChangeError::NotFound(message) => Status::not_found(message),
        ChangeError::Refused(message) => Status::failed_precondition(message),
    }
}

fn unreadable(error: StoreError) -> Status {
    match error {
        StoreError::Overtaken => Status::aborted(error.to_string()),
        StoreError::Full | StoreError::Slow | StoreError::Closed | StoreError::Failed(_) => {
            Status::unavailable(error.to_string())
        }
    }
}
