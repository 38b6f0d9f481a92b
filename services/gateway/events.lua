-- Gives each server-sent event its id, and a bookmark a name of its own, so that onmessage does not see it.
-- Before this code: CURSOR, BOOKMARK (members of the JSON) and RETRY (milliseconds until a browser comes back).
local byte, find, match, sub = string.byte, string.find, string.match, string.sub
local QUOTE, BACKSLASH, OPEN, LIST = 34, 92, 123, 91

local function string_end(json, at)
  while true do
    at = find(json, '["\\]', at + 1)
    if not at or byte(json, at) == QUOTE then
      return at
    end
    at = at + 1
  end
end

-- A member of the outermost object, without quotes. Those within it may have members of the same name.
local function member(json, name)
  local depth, at = 0, 1
  while true do
    local from = find(json, '["{}%[%]]', at)
    local to = from
    local mark = from and byte(json, from)
    if mark == QUOTE then
      to = string_end(json, from)
      if to and depth == 1 and sub(json, from + 1, to - 1) == name then
        local value = match(json, '^:"([^"\\]*)"', to + 1) or match(json, "^:([%w.-]+)", to + 1)
        if value then
          return value
        end
      end
    elseif mark then
      depth = depth + ((mark == OPEN or mark == LIST) and 1 or -1)
    end
    if not to then
      return nil
    end
    at = to + 1
  end
end

local function fields(json)
  local id = member(json, CURSOR)
  local lines = id and id ~= "" and "id: " .. id .. "\n" or ""
  return member(json, BOOKMARK) == "true" and lines .. "event: bookmark\n" or lines
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get("content-type") ~= "text/event-stream" then
    return
  end
  if headers:get("grpc-status") == "0" then
    -- It has ended without a word. A browser would open it again and again, unless it is told that there is no content.
    headers:replace(":status", "204")
    headers:remove("content-type")
    headers:remove("content-length")
    return
  end
  local held, once = "", "retry: " .. RETRY .. "\n"
  for chunk in handle:bodyChunks() do
    -- What was held is on its way already: the fields of an event may follow its data.
    local text, sent, at, out = held .. chunk:getBytes(0, chunk:length()), #held, 1, {}
    while true do
      local stop = find(text, "\n\n", at, true)
      if not stop then
        break
      end
      out[#out + 1] = sub(text, sent + 1, stop) .. fields(sub(text, at, stop)) .. once .. "\n"
      at, sent, once = stop + 2, stop + 1, ""
    end
    held = sub(text, at)
    out[#out + 1] = sub(text, sent + 1)
    chunk:setBytes(table.concat(out))
  end
end
