-- Refuses a JSON member that the contract does not know: the transcoder would drop it silently.
-- Also moves the name of a field that the transcoder could not read from its words to where clients look for it.
-- UNREAD: the header that marks such a reply.
-- MESSAGES: message -> member -> message ("" when its members are not ours to judge). BODIES: verb -> { pattern, message }.

local MAX_DEPTH = 100
local find, sub, byte = string.find, string.sub, string.byte

-- Where the string that begins at `from` ends; nil when it never does.
local function closing(body, from)
  local at = from + 1
  while true do
    local stop = find(body, '["\\]', at)
    if not stop or byte(body, stop) == 34 then return stop end
    at = stop + 2
  end
end

local function path_to(open, name)
  local path = ""
  for depth = 2, #open do
    local step = open[depth]
    path = path .. (open[depth - 1].index and "[" .. open[depth - 1].index .. "]" or (depth > 2 and "." or "") .. step.name)
  end
  return path .. (path == "" and "" or ".") .. name
end

-- The path of the first member that no message has. What is no JSON is left to the transcoder.
local function stranger(body, root)
  local open, at, key, name, message = {}, 1, false, "", root
  while true do
    local from = find(body, '[%[%]{}",]', at)
    if not from then return nil end
    local mark, top = byte(body, from), open[#open]
    at = from + 1
    if mark == 123 or mark == 91 then -- { [
      if #open == MAX_DEPTH then return nil end
      open[#open + 1] = { name = name, message = message, index = mark == 91 and 0 or nil }
      key = mark == 123
    elseif not top and mark ~= 34 then
      return nil
    elseif mark == 125 or mark == 93 then -- } ]
      open[#open] = nil
      key = false
    elseif mark == 44 then -- ,
      if top.index then top.index = top.index + 1 end
      key, message = not top.index, top.message
    else
      local stop = closing(body, from)
      if not stop then return nil end
      at = stop + 1
      if key then
        name, key = sub(body, from + 1, stop - 1), false
        local members = MESSAGES[top.message]
        message = members and members[name] or ""
        if members and not members[name] and not find(name, "\\", 1, true) then return path_to(open, name) end
      end
    end
  end
end

local function expected(verb, path)
  for _, body in ipairs(BODIES[verb] or {}) do
    if find(path, body[1]) then return body[2] end
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local verb = headers:get(":method")
  local message = BODIES[verb] and expected(verb, headers:get(":path"))
  local body = message and handle:body()
  local name = body and stranger(body:getBytes(0, body:length()), message)
  if name then handle:respond({ [":status"] = "400" }, name .. ": there is no such field") end
end

-- How the transcoder names a field, as JSON.
local NAMED = {
  '"description":"([%w_%.%[%]]+): ',
  '"description":"Encountered a non%-leaf field \\"([%w_%.]+)\\"',
  '"description":"Could not find field \\"([%w_%.%-]+)\\"',
  '"description":"The binding value [^{}]- of the field ([%w_%.]+) is conflicting',
}

function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get(":status") ~= "400" or not headers:get(UNREAD) then return end
  headers:remove(UNREAD)
  local body = handle:body()
  local text = body:getBytes(0, body:length())
  for _, pattern in ipairs(NAMED) do
    local _, _, field = find(text, pattern)
    if field then
      body:setBytes((string.gsub(text, '"description":', '"field":"' .. field .. '","description":', 1)))
      return
    end
  end
end
