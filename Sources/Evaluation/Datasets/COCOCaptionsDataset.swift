// Reference captions in the JSON of COCO: images with file names, annotations with captions.

import Foundation

extension EvaluationDataset {
  /// Reads a captions file; `images` is the folder of the image files.
  ///
  /// There is one item an image, under the image's id.
  public static func cocoCaptions(
    _ path: String,
    images folder: String
  ) throws(EvaluationError) -> EvaluationDataset {
    var pictures: [(image: Image, line: Int)] = []
    var captions: [String: [String]] = [:]
    var stream = try JSONStream(path)
    try stream.walk(arrays: ["images", "annotations"]) { name, json, line throws(EvaluationError) in
      switch name {
      case "images":
        guard pictures.count < limit else {
          throw .invalidData(path: path, line: line, reason: "there are too many images")
        }
        let image = try JSONRow.decode(Image.self, json, path: path, line: line)
        pictures.append((image, line))
      case "annotations":
        let row = try JSONRow.decode(Annotation.self, json, path: path, line: line)
        captions[row.imageID.text, default: []].append(row.caption)
      default: break
      }
    }
    guard !pictures.isEmpty else {
      throw .invalidData(path: path, line: nil, reason: "there is no array \"images\"")
    }
    let root = URL(filePath: folder)
    let items = pictures.map { image, line in
      var item = EvaluationItem(
        id: image.id.text,
        content: .caption(.file(root.appending(path: image.fileName).path)),
        line: line
      )
      item.answers = captions[image.id.text] ?? []
      return item
    }
    return try EvaluationDataset(paths: [path], items: items)
  }

  private struct Image: Decodable {
    var id: FlexibleID
    var fileName: String

    private enum CodingKeys: String, CodingKey {
      case id
      case fileName = "file_name"
    }
  }

  private struct Annotation: Decodable {
    var imageID: FlexibleID
    var caption: String

    private enum CodingKeys: String, CodingKey {
      case caption
      case imageID = "image_id"
    }
  }
}
