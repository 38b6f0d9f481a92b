-- Looks at requests that have bodies. Reads a JSON body as strictly as RFC 8259 has it and refuses what the transcoder would
-- take or drop silently: a member that the contract does not know, one that is given twice, one that contradicts the path,
-- text that is nearly JSON.
-- Before this code:
-- MESSAGES: message -> spelling of a member -> { field, kind, message ("" when it is not ours to judge), name in JSON }.
-- BODIES: verb -> kind of path -> { pattern of the path, message, the fields that the pattern captures, query parameters,
--   whether anybody may call }.

local MAX_DEPTH = 100
local NAME_BYTES = 100
local byte, find, match, sub = string.byte, string.find, string.match, string.sub
local LITERALS = { [116] = "true", [102] = "false", [110] = "null" }
local WANTED = { value = "takes a single value", list = "takes a list", object = "takes an object" }

-- The trail leads to the value being read: names, and indexes from 0 on.
local function fault(trail, depth, words)
  local path = ""
  for step = 1, depth do
    local each = trail[step]
    path = path .. (type(each) == "number" and "[" .. each .. "]" or (path == "" and "" or ".") .. each)
  end
  error({ words = path == "" and words or path .. ": " .. words }, 0)
end

local function no_json(at)
  error({ words = "the body is no JSON from byte " .. at .. " on" }, 0)
end

local function skip(body, at)
  local mark = byte(body, at)
  if mark and mark > 32 then return at end
  return find(body, "[^ \t\r\n]", at) or #body + 1
end

-- Where the string that opens at `from` ends.
local function closing(body, from)
  -- Most are words, ids and numbers.
  local _, plain_stop = find(body, '^[%w ._:@+/-]*"', from + 1)
  if plain_stop then return plain_stop end
  local at = from + 1
  while true do
    local stop = find(body, '["\\%z\1-\31]', at)
    local mark = stop and byte(body, stop)
    if mark == 34 then return stop end
    if mark ~= 92 then no_json(stop or from) end
    if find(body, '^["\\/bfnrt]', stop + 1) then
      at = stop + 2
    elseif find(body, "^u%x%x%x%x", stop + 1) then
      at = stop + 6
    else
      no_json(stop)
    end
  end
end

-- Where the number, true, false or null at `at` ends.
local function plain(body, at)
  local literal = LITERALS[byte(body, at)]
  if literal and sub(body, at, at + #literal - 1) == literal then return at + #literal - 1 end
  local _, stop = find(body, "^%-?%d+", at)
  if not stop or find(body, "^%-?0%d", at) then no_json(at) end
  local _, fraction = find(body, "^%.%d+", stop + 1)
  local _, exponent = find(body, "^[eE][+-]?%d+", (fraction or stop) + 1)
  return exponent or fraction or stop
end

-- A member's name: no field of ours needs an escape, but JSON allows any.
local function named(text)
  if not find(text, "\\", 1, true) then return text end
  return (string.gsub(text, "\\u00(%x%x)", function(code) return string.char(tonumber(code, 16)) end))
end

local value

local function object(body, at, message, trail, depth, bound)
  local members, seen = MESSAGES[message], {}
  at = skip(body, at + 1)
  if byte(body, at) == 125 then return at end
  while true do
    if byte(body, at) ~= 34 then no_json(at) end
    local stop = closing(body, at)
    local name = named(sub(body, at + 1, stop - 1))
    local member = members and members[name]
    trail[depth] = member and member[4] or sub(name, 1, NAME_BYTES)
    if members and not member then fault(trail, depth, "there is no such field") end
    if member and seen[member[1]] then fault(trail, depth, "is given twice") end
    if member then seen[member[1]] = true end
    at = skip(body, stop + 1)
    if byte(body, at) ~= 58 then no_json(at) end
    at = skip(body, at + 1)
    stop = value(body, at, member and member[2] or "any", member and member[3] or "", trail, depth)
    local expected = bound and member and bound[member[1]]
    if expected and byte(body, at) == 34 and sub(body, at + 1, stop - 1) ~= expected then
      fault(trail, depth, "is another than the path's")
    end
    at = skip(body, stop + 1)
    local mark = byte(body, at)
    if mark == 125 then return at end
    if mark ~= 44 then no_json(at) end
    at = skip(body, at + 1)
  end
end

local function list(body, at, kind, message, trail, depth)
  at = skip(body, at + 1)
  if byte(body, at) == 93 then return at end
  local index = 0
  while true do
    trail[depth] = index
    at = skip(body, value(body, at, kind, message, trail, depth) + 1)
    local mark = byte(body, at)
    if mark == 93 then return at end
    if mark ~= 44 then no_json(at) end
    at, index = skip(body, at + 1), index + 1
  end
end

-- Where the value at `at` ends. A kind is any, value, object, or "list of" one of these; null is of every kind.
value = function(body, at, kind, message, trail, depth, bound)
  if depth > MAX_DEPTH then fault(trail, 0, "the body is nested too deep") end
  local mark, of = byte(body, at), match(kind, "^list of (%w+)$")
  local is = mark == 123 and "object" or mark == 91 and "list" or "value"
  if is ~= (of and "list" or kind) and kind ~= "any" and mark ~= 110 then
    fault(trail, depth, WANTED[of and "list" or kind])
  end
  if mark == 123 then return object(body, at, message, trail, depth + 1, bound) end
  if mark == 91 then return list(body, at, of or "any", message, trail, depth + 1) end
  if mark == 34 then return closing(body, at) end
  if not mark then no_json(at) end
  return plain(body, at)
end

local function read(body, message, bound)
  local at = skip(body, 1)
  if at > #body then return end
  if byte(body, at) ~= 123 then fault({}, 0, "the body is no JSON object") end
  local rest = skip(body, value(body, at, "object", message, {}, 0, bound) + 1)
  if rest <= #body then no_json(rest) end
end

-- The entry of BODIES for a path, and what the path says of its fields.
local function expected(bodies, path)
  path = string.gsub(path, "/$", "")
  local _, segments = string.gsub(path, "/", "")
  for _, body in ipairs(bodies[segments .. (match(path, ":%a+$") or "")] or {}) do
    local captured = { match(path, body[1]) }
    if captured[1] then
      local bound = {}
      for number, field in ipairs(body[3]) do
        bound[field] = captured[number]
      end
      return body, bound
    end
  end
end

local function plain_name(name)
  name = string.gsub(name, "%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end)
  return (string.gsub(sub(name, 1, NAME_BYTES), "[^%w_.%[%]-]", "?"))
end

-- What a query says twice, for path and body say it.
local function check_query(query, beside)
  for name in string.gmatch(query, "([^&=]+)[^&]*") do
    name = plain_name(name)
    if not beside[match(name, "^[^.]*")] then
      fault({ name }, 1, "is no query parameter here: path and body say all of the request")
    end
  end
end

local GRPC_HEADERS = {
  ["grpc-accept-encoding"] = true, ["grpc-encoding"] = true, ["grpc-message-type"] = true, ["grpc-timeout"] = true,
}

local function is_base64(text)
  for part in string.gmatch(text, "[^,]+") do
    local digits = match(part, "^ *([%w+/_-]*)=?=? *$")
    if not digits or #digits % 4 == 1 then return false end
  end
  return true
end

-- Names that nobody can list: a service cannot read such a header, or it is gRPC's own. It costs as much as all the rest,
-- so strangers alone are told; who has a token loses the header, as routes have it.
local function check_headers(headers)
  for name, text in pairs(headers) do
    if byte(name, -1) == 110 and sub(name, -4) == "-bin" and not is_base64(text) then
      error({ words = "the header " .. sub(name, 1, NAME_BYTES) .. " must be base64" }, 0)
    elseif byte(name) == 103 and sub(name, 1, 5) == "grpc-" and not GRPC_HEADERS[name] and sub(name, -4) ~= "-bin" then
      error({ words = "the header " .. sub(name, 1, NAME_BYTES) .. " is not a client's to send" }, 0)
    end
  end
end

-- The entry of BODIES for a request, and what its path says of the body.
local function check(headers, bodies)
  local path, query = match(headers:get(":path"), "^([^?]*)%??(.*)$")
  local body, bound = expected(bodies, path)
  if not body then return end
  if body[5] then check_headers(headers) end
  check_query(query, body[4])
  return body, bound
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local bodies = BODIES[headers:get(":method")]
  if not bodies or find(headers:get("content-type") or "", "application/grpc", 1, true) == 1 then return end
  local fine, found, bound = pcall(check, headers, bodies)
  if fine then
    local body = found and found[2] ~= "" and handle:body()
    if not body then return end
    fine, found = pcall(read, body:getBytes(0, body:length()), found[2], bound)
  end
  if fine then return end
  if type(found) ~= "table" then error(found, 0) end
  handle:respond({ [":status"] = "400" }, found.words)
end
