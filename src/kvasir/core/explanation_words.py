"""The sentences of an explanation, in the languages in which Kvasir replies."""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGES = ("en", "es", "vi", "zh")
"""ISO 639-1 codes of the languages of the sentences; English stands for every other one."""

_MEANINGS: Mapping[str, tuple[str, str, str, str]] = {
    "relatedness": (
        "how near the best passage is in meaning, by this model's own measure",
        "cercanía de significado del mejor pasaje, según la medida propia del modelo",
        "mức gần nghĩa của đoạn tốt nhất, theo thước đo riêng của mô hình này",
        "最佳段落在意义上有多接近（按该模型自身的尺度）",
    ),
    "chunk_coverage": (
        "share of the question's words in the best passage; rare words count more",
        "parte de las palabras de la pregunta en el mejor pasaje; las raras cuentan más",
        "tỷ lệ từ của câu hỏi có trong đoạn tốt nhất; từ hiếm được tính nhiều hơn",
        "最佳段落包含的问题词语比例（罕见词权重更高）",
    ),
    "sentence_coverage": (
        "the same for the best single sentence",
        "lo mismo para la mejor frase",
        "tương tự cho câu tốt nhất",
        "同上，对最佳的单个句子",
    ),
    "first_coverage": (
        "the same for the first passage of the list",
        "lo mismo para el primer pasaje de la lista",
        "tương tự cho đoạn đầu danh sách",
        "同上，对列表中的第一个段落",
    ),
    "lead": (
        "how far one passage stands out by its words",
        "cuánto destaca un pasaje por sus palabras",
        "mức nổi bật của một đoạn về từ ngữ",
        "某一段落在词语上的突出程度",
    ),
    "agreement": (
        "1 if the nearest passage in meaning is the best by words, too",
        "1 si el pasaje más cercano en significado es también el mejor por palabras",
        "1 nếu đoạn gần nghĩa nhất cũng là đoạn tốt nhất về từ ngữ",
        "意义上最接近的段落在词语上也最佳时为 1",
    ),
    "missing_names": (
        "share of the question's names and numbers that even the best passage lacks",
        "parte de los nombres y números de la pregunta que faltan hasta en el mejor pasaje",
        "tỷ lệ tên và số của câu hỏi mà cả đoạn tốt nhất cũng thiếu",
        "问题中的名称和数字里连最佳段落也缺少的比例",
    ),
    "similarity": (
        "cosine of the best passage; 0 in a language that the model does not know",
        "coseno del mejor pasaje; 0 en un idioma que el modelo no conoce",
        "cosin của đoạn tốt nhất; 0 với ngôn ngữ mà mô hình không biết",
        "最佳段落的余弦值；模型不懂该语言时为 0",
    ),
    "foreign": (
        "1 if the embedding model does not know the question's language",
        "1 si el modelo no conoce el idioma de la pregunta",
        "1 nếu mô hình không biết ngôn ngữ của câu hỏi",
        "嵌入模型不懂问题的语言时为 1",
    ),
    "contrast": (
        "how far one passage stands out, in a language that the model does not know",
        "cuánto destaca un pasaje, en un idioma que el modelo no conoce",
        "mức nổi bật của một đoạn, với ngôn ngữ mà mô hình không biết",
        "模型不懂该语言时，某一段落的突出程度",
    ),
}
"""What each feature of a decision is."""

_SAYINGS: Mapping[str, tuple[str, str, str, str]] = {
    # Of a hit.
    "by_meaning": (
        "by meaning: rank {rank}, cosine {cosine:.3f}",
        "por significado: puesto {rank}, coseno {cosine:.3f}",
        "theo nghĩa: hạng {rank}, cosin {cosine:.3f}",
        "按意义：第 {rank} 名，余弦 {cosine:.3f}",
    ),
    "not_by_meaning": (
        "by meaning: not among the best {depth}, cosine {cosine:.3f}",
        "por significado: no está entre los {depth} mejores, coseno {cosine:.3f}",
        "theo nghĩa: không thuộc {depth} đoạn tốt nhất, cosin {cosine:.3f}",
        "按意义：不在前 {depth} 名内，余弦 {cosine:.3f}",
    ),
    "by_words": (
        "by words: rank {rank}, BM25 {score:.2f}",
        "por palabras: puesto {rank}, BM25 {score:.2f}",
        "theo từ: hạng {rank}, BM25 {score:.2f}",
        "按词语：第 {rank} 名，BM25 {score:.2f}",
    ),
    "not_by_words": (
        "by words: not among the best {depth}, or no word in common",
        "por palabras: no está entre los {depth} mejores, o ninguna palabra en común",
        "theo từ: không thuộc {depth} đoạn tốt nhất, hoặc không có từ chung",
        "按词语：不在前 {depth} 名内，或没有共同的词",
    ),
    "fused": (
        "{fused:.3f} = {share:.0%} of {dense:.3f} for meaning + {rest:.0%} of {lexical:.3f} for "
        "words",
        "{fused:.3f} = {share:.0%} de {dense:.3f} por significado + {rest:.0%} de {lexical:.3f} "
        "por palabras",
        "{fused:.3f} = {share:.0%} của {dense:.3f} về nghĩa + {rest:.0%} của {lexical:.3f} về từ",
        "{fused:.3f} = 意义 {dense:.3f} 的 {share:.0%} + 词语 {lexical:.3f} 的 {rest:.0%}",
    ),
    "literal": (
        "half of the score is the share of the phrases and identifiers that it holds: {share:.0%} "
        "({held}), so {score:.3f}",
        "la mitad de la puntuación es la parte de las frases e identificadores que contiene: "
        "{share:.0%} ({held}), o sea {score:.3f}",
        "một nửa điểm là tỷ lệ cụm từ và mã định danh có trong đoạn: {share:.0%} ({held}), nên "
        "{score:.3f}",
        "得分的一半是其包含的短语和标识符的比例：{share:.0%}（{held}），即 {score:.3f}",
    ),
    "described": (
        "it describes what the question asks of, so {score:.3f}",
        "describe aquello por lo que se pregunta, o sea {score:.3f}",
        "đoạn này mô tả điều được hỏi, nên {score:.3f}",
        "它描述了所问的对象，即 {score:.3f}",
    ),
    "not_described": (
        "others describe what the question asks of, it does not, so {score:.3f}",
        "otros describen aquello por lo que se pregunta, este no, o sea {score:.3f}",
        "các đoạn khác mô tả điều được hỏi, đoạn này thì không, nên {score:.3f}",
        "其他段落描述了所问的对象，它没有，即 {score:.3f}",
    ),
    "reranked": (
        "the reranker gave {score:.3f}; place {place} before",
        "el reordenador dio {score:.3f}; antes, puesto {place}",
        "bộ xếp hạng lại cho {score:.3f}; trước đó ở vị trí {place}",
        "重排器给出 {score:.3f}；此前第 {place} 位",
    ),
    "unread": (
        "not read by the reranker: {before:.3f} x {factor:.3f}, its lowest score",
        "el reordenador no lo leyó: {before:.3f} x {factor:.3f}, su puntuación más baja",
        "bộ xếp hạng lại không đọc: {before:.3f} x {factor:.3f}, điểm thấp nhất của nó",
        "重排器未读取：{before:.3f} × {factor:.3f}（其最低得分）",
    ),
    "part": (
        "found by part {part} of the question",
        "hallado por la parte {part} de la pregunta",
        "được tìm thấy bởi phần {part} của câu hỏi",
        "由问题的第 {part} 部分找到",
    ),
    "copies": (
        "equal passages that are one hit with it: {count}",
        "pasajes iguales reunidos en este resultado: {count}",
        "số đoạn giống hệt được gộp vào kết quả này: {count}",
        "合并到此结果的相同段落：{count}",
    ),
    "filled": (
        "it has a place that the limit for each document left free",
        "ocupa un lugar que dejó libre el límite por documento",
        "nó ở chỗ mà giới hạn cho mỗi tài liệu để trống",
        "它占据了因单个文档上限而空出的位置",
    ),
    # Of a search.
    "search": ("How the search was made", "Cómo se buscó", "Cách tìm kiếm", "搜索过程"),
    "query": ("Searched for: {query}", "Se buscó: {query}", "Đã tìm: {query}", "搜索内容：{query}"),
    "before": (
        "Searched for first, to complete the question: {query}",
        "Se buscó antes, para completar la pregunta: {query}",
        "Đã tìm trước để hoàn chỉnh câu hỏi: {query}",
        "为补全问题，先搜索：{query}",
    ),
    "language_detected": (
        "Language of the question: {language}, detected among those of the documents ({held})",
        "Idioma de la pregunta: {language}, detectado entre los de los documentos ({held})",
        "Ngôn ngữ của câu hỏi: {language}, nhận ra trong các ngôn ngữ của tài liệu ({held})",
        "问题的语言：{language}，在文档的语言（{held}）中识别",
    ),
    "language_set": (
        "Language of the question: {language}, as the settings say",
        "Idioma de la pregunta: {language}, según la configuración",
        "Ngôn ngữ của câu hỏi: {language}, theo cấu hình",
        "问题的语言：{language}（由设置指定）",
    ),
    "listed": (
        "The embedding model knows this language: meaning counts {share:.0%}, words {rest:.0%}",
        "El modelo de vectores conoce este idioma: el significado cuenta {share:.0%}, las palabras "
        "{rest:.0%}",
        "Mô hình nhúng biết ngôn ngữ này: nghĩa tính {share:.0%}, từ tính {rest:.0%}",
        "嵌入模型懂这种语言：意义占 {share:.0%}，词语占 {rest:.0%}",
    ),
    "not listed": (
        "The embedding model does not know this language, so its meanings compare poorly: they "
        "count {share:.0%}, words {rest:.0%}",
        "El modelo de vectores no conoce este idioma y compara mal sus significados: cuentan "
        "{share:.0%}, las palabras {rest:.0%}",
        "Mô hình nhúng không biết ngôn ngữ này nên so sánh nghĩa kém: nghĩa tính {share:.0%}, từ "
        "tính {rest:.0%}",
        "嵌入模型不懂这种语言，意义难以比较：意义占 {share:.0%}，词语占 {rest:.0%}",
    ),
    "tokenizer": (
        "The embedding model lists no languages, but its tokenizer fits this one: meaning counts "
        "{share:.0%}, words {rest:.0%}",
        "El modelo de vectores no declara idiomas, pero su segmentador se ajusta a este: el "
        "significado cuenta {share:.0%}, las palabras {rest:.0%}",
        "Mô hình nhúng không liệt kê ngôn ngữ, nhưng bộ tách từ của nó hợp với ngôn ngữ này: nghĩa "
        "tính {share:.0%}, từ tính {rest:.0%}",
        "嵌入模型未列出语言，但其分词器适合这种语言：意义占 {share:.0%}，词语占 {rest:.0%}",
    ),
    "unknown": (
        "It is not known whether the embedding model knows this language: meaning counts "
        "{share:.0%}, words {rest:.0%}",
        "No se sabe si el modelo de vectores conoce este idioma: el significado cuenta "
        "{share:.0%}, las palabras {rest:.0%}",
        "Không rõ mô hình nhúng có biết ngôn ngữ này không: nghĩa tính {share:.0%}, từ tính "
        "{rest:.0%}",
        "不清楚嵌入模型是否懂这种语言：意义占 {share:.0%}，词语占 {rest:.0%}",
    ),
    "setting": (
        "By the settings, meaning counts {share:.0%}, words {rest:.0%}",
        "Según la configuración, el significado cuenta {share:.0%}, las palabras {rest:.0%}",
        "Theo cấu hình, nghĩa tính {share:.0%}, từ tính {rest:.0%}",
        "按设置，意义占 {share:.0%}，词语占 {rest:.0%}",
    ),
    "compared": (
        "The embedding model finds passages in other languages than the question's: meaning counts "
        "{share:.0%}, words {rest:.0%}",
        "El modelo de vectores encuentra pasajes en otros idiomas que el de la pregunta: el "
        "significado cuenta {share:.0%}, las palabras {rest:.0%}",
        "Mô hình nhúng tìm được đoạn bằng ngôn ngữ khác với câu hỏi: nghĩa tính {share:.0%}, từ "
        "tính {rest:.0%}",
        "嵌入模型能找到与问题语言不同的段落：意义占 {share:.0%}，词语占 {rest:.0%}",
    ),
    "vectors alone": (
        "Meaning alone was compared; a score is (1 + cosine) / 2",
        "Solo se comparó el significado; la puntuación es (1 + coseno) / 2",
        "Chỉ so sánh nghĩa; điểm là (1 + cosin) / 2",
        "只比较了意义；得分为 (1 + 余弦) / 2",
    ),
    "no_words": (
        "No passage shares a word with the question: meaning alone counts",
        "Ningún pasaje comparte palabras con la pregunta: solo cuenta el significado",
        "Không đoạn nào có từ chung với câu hỏi: chỉ tính nghĩa",
        "没有段落与问题有共同的词：只计意义",
    ),
    "candidates": (
        "Candidates: {candidates}, of them {dense} by meaning and {lexical} by words; each search "
        "gives at most {depth}",
        "Candidatos: {candidates}, de ellos {dense} por significado y {lexical} por palabras; cada "
        "búsqueda da como mucho {depth}",
        "Ứng viên: {candidates}, trong đó {dense} theo nghĩa và {lexical} theo từ; mỗi phép tìm "
        "cho nhiều nhất {depth}",
        "候选：{candidates} 个，其中按意义 {dense} 个、按词语 {lexical} 个；"
        "每种搜索最多 {depth} 个",
    ),
    "noise": (
        "Their nearness in meaning differs by {spread:.3f} only, less than chance ({noise:.3f}): "
        "small differences count for little",
        "Su cercanía de significado solo difiere en {spread:.3f}, menos que el azar ({noise:.3f}): "
        "las diferencias pequeñas cuentan poco",
        "Độ gần nghĩa của chúng chỉ khác nhau {spread:.3f}, ít hơn mức ngẫu nhiên ({noise:.3f}): "
        "khác biệt nhỏ được tính ít",
        "它们的意义接近度仅相差 {spread:.3f}，小于随机波动（{noise:.3f}）：小差异影响很小",
    ),
    "parts": (
        "The long question was searched by {count} parts:",
        "La pregunta larga se buscó en {count} partes:",
        "Câu hỏi dài được tìm theo {count} phần:",
        "长问题分为 {count} 部分搜索：",
    ),
    "more": ("and {count} more", "y {count} más", "và {count} nữa", "另有 {count} 个"),
    "phrases": (
        "Exact phrases: {values}",
        "Frases exactas: {values}",
        "Cụm từ chính xác: {values}",
        "精确短语：{values}",
    ),
    "identifiers": (
        "Identifiers: {values}",
        "Identificadores: {values}",
        "Mã định danh: {values}",
        "标识符：{values}",
    ),
    "options": (
        "A passage has this as an option, so it leaves nothing out: {values}",
        "Un pasaje lo tiene como opción, así que no excluye nada: {values}",
        "Một đoạn có nó như tùy chọn nên không loại gì: {values}",
        "某段落将其作为选项，因此不排除任何内容：{values}",
    ),
    "filters": ("Filter: {filters}", "Filtro: {filters}", "Bộ lọc: {filters}", "筛选：{filters}"),
    "rerank": (
        "The reranker read the first {count}",
        "El reordenador leyó los {count} primeros",
        "Bộ xếp hạng lại đã đọc {count} đoạn đầu",
        "重排器读取了前 {count} 个",
    ),
    "left_out": ("Left out:", "Quedaron fuera:", "Bị loại:", "未列出："),
    "excluded": (
        "{count} with an excluded word",
        "{count} con una palabra excluida",
        "{count} có từ bị loại trừ",
        "{count} 个含有被排除的词",
    ),
    "threshold": (
        "{count} with a dense score below {threshold:g}",
        "{count} con puntuación densa inferior a {threshold:g}",
        "{count} có điểm nghĩa dưới {threshold:g}",
        "{count} 个的意义得分低于 {threshold:g}",
    ),
    "copy": (
        "{count} with the passage of a hit",
        "{count} con el mismo pasaje que un resultado",
        "{count} có cùng đoạn với một kết quả",
        "{count} 个与某结果段落相同",
    ),
    "joined": (
        "{count} joined with a hit beside them",
        "{count} unidos a un resultado contiguo",
        "{count} được nối với một kết quả liền kề",
        "{count} 个已与相邻结果合并",
    ),
    "document": (
        "{count} whose place another document took: one has at most {most} of the {top_k} hits",
        "{count} cuyo lugar ocupó otro documento: uno tiene a lo sumo {most} de {top_k} resultados",
        "{count} nhường chỗ cho tài liệu khác: mỗi tài liệu có nhiều nhất {most} trên {top_k}",
        "{count} 个的位置让给了其他文档：每个文档最多占 {top_k} 个结果中的 {most} 个",
    ),
    "rank": (
        "{count} with lower scores than the {top_k} wanted",
        "{count} con puntuación inferior a los {top_k} pedidos",
        "{count} có điểm thấp hơn {top_k} kết quả cần lấy",
        "{count} 个得分低于所需的前 {top_k} 个",
    ),
    # Of an answer.
    "why": ("Why", "Por qué", "Vì sao", "原因"),
    "sure": ("Outcome: sure", "Resultado: seguro", "Kết quả: chắc chắn", "结果：确定"),
    "not sure": (
        "Outcome: not sure",
        "Resultado: no es seguro",
        "Kết quả: không chắc",
        "结果：不确定",
    ),
    "no": (
        "Outcome: no, the question was refused",
        "Resultado: no, la pregunta se rechazó",
        "Kết quả: không, câu hỏi bị từ chối",
        "结果：否，问题被拒答",
    ),
    "by_evidence": (
        "decided by the evidence below",
        "decidido por los indicios de abajo",
        "quyết định theo các dấu hiệu dưới đây",
        "由下列证据决定",
    ),
    "by_nothing_found": (
        "nothing was found to answer from",
        "no se halló nada con que responder",
        "không tìm thấy gì để trả lời",
        "没有找到可供回答的内容",
    ),
    "by_table": (
        "decided by a table in the documents, whatever the evidence below",
        "decidido por una tabla de los documentos, al margen de los indicios de abajo",
        "quyết định theo một bảng trong tài liệu, bất kể các dấu hiệu dưới đây",
        "由文档中的表格决定，与下列证据无关",
    ),
    "by_model": (
        "decided by the language model, which read the passages, whatever the evidence below",
        "decidido por el modelo de lenguaje, que leyó los pasajes, al margen de los indicios de "
        "abajo",
        "quyết định bởi mô hình ngôn ngữ đã đọc các đoạn, bất kể các dấu hiệu dưới đây",
        "由读过段落的语言模型决定，与下列证据无关",
    ),
    "by_quotation": (
        "the quoted text itself says that there is no answer",
        "el propio texto citado dice que no hay respuesta",
        "chính đoạn trích nói rằng không có câu trả lời",
        "引用的文字本身表示没有答案",
    ),
    "by_no_value": (
        "the evidence below would be sure; what is quoted lacks what is asked for, such as a date "
        "or a number",
        "los indicios de abajo bastarían; a lo citado le falta lo que se pide, como una fecha o un "
        "número",
        "các dấu hiệu dưới đây là đủ; phần trích thiếu điều được hỏi, như ngày tháng hay con số",
        "下列证据本已足够；引用的内容缺少所问的东西，如日期或数字",
    ),
    "by_never_refuses": (
        "the evidence below would refuse; the settings do not allow it",
        "los indicios de abajo la rechazarían; la configuración no lo permite",
        "các dấu hiệu dưới đây sẽ từ chối; cấu hình không cho phép",
        "按下列证据应拒答，但设置不允许",
    ),
    "confidence": (
        "Confidence by the evidence: {confidence:.2f}; refused below {refuse:.2f}, sure from "
        "{sure:.2f} on",
        "Confianza según los indicios: {confidence:.2f}; se rechaza por debajo de {refuse:.2f} y "
        "es seguro desde {sure:.2f}",
        "Độ tin cậy theo dấu hiệu: {confidence:.2f}; từ chối dưới {refuse:.2f}, chắc chắn từ "
        "{sure:.2f}",
        "按证据的可信度：{confidence:.2f}；低于 {refuse:.2f} 拒答，{sure:.2f} 起为确定",
    ),
    "short_of": (
        "{missing:.2f} more, and it would have been answered",
        "con {missing:.2f} más se habría respondido",
        "thêm {missing:.2f} nữa thì đã được trả lời",
        "再高 {missing:.2f} 就会作答",
    ),
    "short_of_sure": (
        "{missing:.2f} more, and it would have been sure",
        "con {missing:.2f} más habría sido seguro",
        "thêm {missing:.2f} nữa thì đã chắc chắn",
        "再高 {missing:.2f} 就会确定",
    ),
    "own_decision": (
        "The decision was fitted to this collection",
        "La decisión se ajustó a esta colección",
        "Quyết định được hiệu chỉnh cho bộ sưu tập này",
        "该决定针对此集合校准",
    ),
    "of_part": (
        "By the part of the question: {question}",
        "Por la parte de la pregunta: {question}",
        "Theo phần câu hỏi: {question}",
        "依据问题的这一部分：{question}",
    ),
    "start": (
        "start, without any evidence",
        "punto de partida, sin indicios",
        "điểm khởi đầu, chưa có dấu hiệu",
        "起点（无任何证据）",
    ),
    "sum": (
        "sum: a confidence of {confidence:.2f}",
        "suma: confianza de {confidence:.2f}",
        "tổng: độ tin cậy {confidence:.2f}",
        "合计：可信度 {confidence:.2f}",
    ),
    "table_refusal": ("Table: {table}", "Tabla: {table}", "Bảng: {table}", "表格：{table}"),
}
"""Sentences by name; what stands in braces is filled in."""


def meaning_of(feature: str, language: str) -> str:
    """Return what a feature of a decision is, in words."""
    return _MEANINGS[feature][_column(language)]


def say(name: str, language: str, /, **values: object) -> str:
    """Return a sentence with its values."""
    return _SAYINGS[name][_column(language)].format(**values)


def _column(language: str) -> int:
    return LANGUAGES.index(language) if language in LANGUAGES else 0
