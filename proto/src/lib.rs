//! The contracts as Rust: messages and tonic services generated from the `.proto` files beside
//! this crate, and their descriptor sets. It owns all generated Rust and nothing else.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated code: the .proto files hold the documentation"
)]

/// The gazetteer: the pair that is migrated.
pub mod gazetteer {
    /// Package `gazetteer.v1`.
    pub mod v1 {
        tonic::include_proto!("gazetteer.v1");
    }
    /// The encoded `FileDescriptorSet` of `gazetteer.v1` with its imports, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("gazetteer");
}

/// Cutover's own services: proxy to control plane, and operators to control plane.
pub mod cutover {
    /// Package `cutover.v1`.
    pub mod v1 {
        tonic::include_proto!("cutover.v1");
    }
    /// The encoded `FileDescriptorSet` of `cutover.v1` with its imports, for reflection and JSON.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("cutover");
}

/// gRPC's own contracts.
pub mod grpc {
    /// gRPC's binary log.
    pub mod binarylog {
        /// Package `grpc.binarylog.v1`.
        pub mod v1 {
            tonic::include_proto!("grpc.binarylog.v1");
        }
    }
}
