// Every setting and limit of the server in one value, with the defaults of a loopback server on one
// machine. Refuses nothing; what a request may not exceed is enforced where the request is read.

/// Settings and limits of an ``InferenceServer``.
public struct ServerOptions: Sendable {
  /// Address to bind; loopback unless the operator says otherwise.
  public var host = "127.0.0.1"
  /// TCP port; 0 lets the system choose.
  public var port = 8080
  /// Accepted API keys; without any, every route is open.
  public var apiKeys = APIKeys()
  /// Requests worked on or waiting at once; more are answered 429.
  public var maxConcurrentRequests = 128
  /// Connections open at once, but for a few that come together; more wait in the system's queue.
  public var maxConnections = 4096
  /// Longest time one request may take; `nil`: no limit.
  public var requestTimeout: Duration?

  /// Bytes of one request body.
  public var maxBodyBytes = 32 << 20
  /// Bytes of all request bodies held at once.
  public var maxBufferedBytes = 512 << 20
  /// Nesting of arrays and objects in a request body.
  public var maxJSONDepth = 64
  /// Values and keys in a request body.
  public var maxJSONElements = 200_000
  /// Whether `\nUser:` and `\nAssistant:` inside chat messages are broken up, so that they cannot pose as turns.
  public var escapesRoles = false
  /// Images in one request.
  public var maxImages = 32
  /// Hosts that images may be fetched from; empty: image URLs are refused.
  public var imageHosts: [ImageHostRule] = []
  /// Bytes of one fetched image.
  public var maxFetchedBytes = 10 << 20
  /// Longest time to fetch one image, redirects included.
  public var fetchTimeout = Duration.seconds(10)

  /// Largest `best_of`.
  public var maxBestOf = 2
  /// Largest `n` of the OpenAI-style routes.
  public var maxAnswers = 8
  /// Most stop sequences.
  public var maxStopSequences = 4
  /// Largest `top_n_tokens`.
  public var maxTopTokens = 5
  /// Most prompts of one `/v1/completions` request.
  public var maxClientBatchSize = 4

  /// Longest time from connecting to a complete request head.
  public var headerDeadline = Duration.seconds(10)
  /// Longest time from a request's head to its last byte.
  public var bodyDeadline = Duration.seconds(60)
  /// Longest time a connection may rest between requests.
  public var idleDeadline = Duration.seconds(60)
  /// Longest time a client may leave sent data unread.
  public var writeDeadline = Duration.seconds(30)
  /// Longest time running answers may go on once the server is told to stop.
  public var drainDeadline = Duration.seconds(60)
  /// Pause after which an event stream sends a comment, so that proxies keep it open.
  public var keepAliveInterval = Duration.seconds(15)

  /// How log lines look.
  public var logFormat = LogFormat.text
  /// Log events below this level are dropped.
  public var logLevel = LogLevel.info

  /// How log lines look.
  public enum LogFormat: String, Sendable, CaseIterable {
    /// For people.
    case text
    /// One JSON object a line.
    case json
  }

  /// How important a log event is.
  public enum LogLevel: String, Sendable, CaseIterable {
    /// Details for the search for a fault.
    case debug
    /// Every request.
    case info
    /// What may need attention.
    case warning
    /// What failed.
    case error
  }

  /// The defaults.
  public init() {}

  /// Version of the program, in `/info` and fingerprints.
  public static let version = "0.1.0"
}
