// Routes that tell about the server: health, facts, models, metrics.

import Hummingbird
import Idefix

/// What monitors and clients ask before they send anything.
struct StatusRoutes: Sendable {
  let inference: Inference

  func add(to router: Router<RequestScope>) {
    for path: RouterPath in ["/health", "/ping"] {
      router.get(path) { _, _ in Response(status: .ok) }
    }
    router.get("/info") { _, _ in try Response.json(info) }
    router.get("/v1/models") { _, _ in
      let name = inference.engine.info.name
      return try Response.json(ModelList(data: [.init(id: name, ownedBy: name)]))
    }
    router.get("/metrics") { _, _ in
      Response(
        status: .ok,
        headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
        body: .init(
          byteBuffer: ByteBuffer(
            string: inference.metrics.render(
              engine: inference.engine.metrics,
              open: inference.admission.requests
            )
          )
        )
      )
    }
  }

  private var info: ServerInfo {
    let model = inference.engine.info
    let options = inference.options
    return ServerInfo(
      modelID: model.name,
      modelSHA: model.fingerprint,
      modelDType: model.recipe,
      maxConcurrentRequests: options.maxConcurrentRequests,
      maxBestOf: options.maxBestOf,
      maxStopSequences: options.maxStopSequences,
      maxInputTokens: model.contextTokens - 1,
      maxTotalTokens: model.contextTokens,
      maxClientBatchSize: options.maxClientBatchSize,
      version: ServerOptions.version,
      sha: nil,
      dockerLabel: nil
    )
  }
}
