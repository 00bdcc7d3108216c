//! The protobuf messages of an encoded scan.

use datafusion_proto::protobuf::{PhysicalExprNode, PhysicalPlanNode, Schema};
use prost::{Message, Oneof};

/// The version of the messages. It changes whenever a message or its meaning changes.
pub const VERSION: u32 = 1;

/// A scan that emits rows or aggregates.
#[derive(Clone, PartialEq, Message)]
pub struct ScanMessage {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    #[prost(message, required, tag = "2")]
    pub table: TableMessage,
    #[prost(message, required, tag = "3")]
    pub request: RequestMessage,
    /// The ranges of tiles of each partition.
    #[prost(message, repeated, tag = "4")]
    pub partitions: Vec<PartitionMessage>,
    #[prost(uint64, optional, tag = "5")]
    pub limit: Option<u64>,
    #[prost(message, optional, tag = "6")]
    pub aggregate: Option<AggregateMessage>,
}

/// A table of a generation of a store.
#[derive(Clone, PartialEq, Message)]
pub struct TableMessage {
    /// The address of the store, without credentials.
    #[prost(string, tag = "1")]
    pub address: String,
    #[prost(uint64, tag = "2")]
    pub generation: u64,
    /// The time of the generation's commit. It differs if another store was created at the address.
    #[prost(int64, tag = "3")]
    pub committed: i64,
    /// The table's name in plans.
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(oneof = "KindMessage", tags = "5, 6")]
    pub kind: Option<KindMessage>,
    #[prost(bool, tag = "7")]
    pub nan_as_null: bool,
    #[prost(message, required, tag = "8")]
    pub schema: Schema,
}

/// The kind of the table.
#[derive(Clone, PartialEq, Oneof)]
pub enum KindMessage {
    #[prost(message, tag = "5")]
    Wide(WideMessage),
    /// The table of one variable.
    #[prost(string, tag = "6")]
    Variable(String),
}

#[derive(Clone, PartialEq, Message)]
pub struct WideMessage {
    #[prost(string, repeated, tag = "1")]
    pub dims: Vec<String>,
    #[prost(bool, tag = "2")]
    pub attributes: bool,
}

/// What the scan is to do. All expressions are over the table's columns.
#[derive(Clone, PartialEq, Message)]
pub struct RequestMessage {
    #[prost(message, repeated, tag = "1")]
    pub projection: Vec<PhysicalExprNode>,
    /// The names of the projection's columns.
    #[prost(string, repeated, tag = "2")]
    pub names: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    pub predicates: Vec<PhysicalExprNode>,
    #[prost(uint64, tag = "4")]
    pub counted: u64,
    #[prost(message, repeated, tag = "5")]
    pub inexact: Vec<PhysicalExprNode>,
    #[prost(message, repeated, tag = "6")]
    pub dynamic: Vec<PhysicalExprNode>,
    #[prost(message, optional, tag = "7")]
    pub order: Option<OrderMessage>,
    #[prost(message, repeated, tag = "8")]
    pub options: Vec<OptionMessage>,
    #[prost(uint64, tag = "9")]
    pub batch_size: u64,
}

/// The order of which an operator above wants the first rows.
#[derive(Clone, PartialEq, Message)]
pub struct OrderMessage {
    #[prost(uint64, tag = "1")]
    pub column: u64,
    #[prost(bool, tag = "2")]
    pub descending: bool,
    #[prost(bool, tag = "3")]
    pub nulls_first: bool,
}

/// An option of the session, `atlas.<key>`.
#[derive(Clone, PartialEq, Message)]
pub struct OptionMessage {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct PartitionMessage {
    #[prost(message, repeated, tag = "1")]
    pub ranges: Vec<RangeMessage>,
}

/// A range of tiles.
#[derive(Clone, PartialEq, Message)]
pub struct RangeMessage {
    #[prost(uint64, tag = "1")]
    pub start: u64,
    #[prost(uint64, tag = "2")]
    pub end: u64,
}

/// The aggregation that the scan computes.
#[derive(Clone, PartialEq, Message)]
pub struct AggregateMessage {
    /// The partial aggregation, over an empty input with the same schema.
    #[prost(message, required, tag = "1")]
    pub partial: PhysicalPlanNode,
    /// The expressions over the table that yield the columns of its input.
    #[prost(message, repeated, tag = "2")]
    pub inputs: Vec<PhysicalExprNode>,
    /// The schema of the keys, and of the states or values.
    #[prost(message, required, tag = "3")]
    pub schema: Schema,
    /// True if the scan emits values instead of states.
    #[prost(bool, tag = "4")]
    pub finished: bool,
}
