-- Answers with the token filter, the file of public keys in it as it is now; with 304 when that is what the asker has.
-- Before this code: FILE, and the answer's text BEFORE the version, BETWEEN it and the keys, and AFTER them.
local function quoted(text)
  return '"' .. text:gsub('[%c"\\\127-\255]', function(letter) return ("\\u%04x"):format(letter:byte()) end) .. '"'
end

-- Bernstein's hash, in two halves that a number holds without rounding.
local function version(text)
  local a, b = #text, 5381
  for at = 1, #text do
    local letter = text:byte(at)
    a, b = (a * 31 + letter) % 2^32, (b * 33 + letter) % 2^32
  end
  return ('"%08x%08x"'):format(a, b)
end

function envoy_on_request(handle)
  -- The question is read whole: the connection would be closed behind an answer that comes before.
  local body = handle:body()
  local question = body and body:getBytes(0, body:length()) or ""
  local file = io.open(FILE, "rb")
  local text = file and file:read("*a")
  if file then
    file:close()
  end
  -- Envoy would take nothing for a file of no keys.
  if not text or text == "" then
    handle:respond({ [":status"] = "404" }, "")
    return
  end
  local now = version(text)
  if question:find(now, 1, true) then
    handle:respond({ [":status"] = "304" }, "")
    return
  end
  local answer = BEFORE .. now .. BETWEEN .. quoted(text) .. AFTER
  handle:respond({ [":status"] = "200", ["content-type"] = "application/json" }, answer)
end
