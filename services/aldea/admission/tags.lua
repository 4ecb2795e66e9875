-- The tags that a request's readings carry, as a JSON array: its key's own first, so that none of these is lost, then
-- those that it brought, each once, at most `most`. `united_tags` in aldea/admission/grant.py is the same in Python.
--
-- own: of the credential's record, a JSON array; an empty text or none at all: the key has no tags
-- brought: of the request, a JSON array

local function united(own, brought, most)
  if not own or own == '' then return brought end
  local seen, kept = {}, {}
  for _, tags in ipairs({cjson.decode(own), cjson.decode(brought)}) do
    for _, tag in ipairs(tags) do
      if not seen[tag] and #kept < most then
        seen[tag] = true
        kept[#kept + 1] = tag
      end
    end
  end
  return cjson.encode(kept)
end

